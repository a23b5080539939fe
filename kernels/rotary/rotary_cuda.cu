// 4 bytes in and out an element; the angles, in double, are computed once a row and serve all of its heads.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/rotary/rotary.h"

namespace barista {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    RotateKernel(const int64_t* positions, int64_t half, int64_t heads, double theta, float sign, DeviceRows x_rows,
                 DeviceRows y_rows) {
  Shared shared;
  float *sine = shared.Take<float>(half), *cosine = shared.Take<float>(half);
  const double position = static_cast<double>(positions[blockIdx.x]);
  for (int64_t i = threadIdx.x; i < half; i += kThreads) {
    const double angle = position * pow(theta, -static_cast<double>(i) / static_cast<double>(half));
    sine[i] = sign * static_cast<float>(sin(angle));
    cosine[i] = static_cast<float>(cos(angle));
  }
  __syncthreads();
  const float* x = x_rows.row(blockIdx.x);
  float* y = y_rows.row(blockIdx.x);
  for (int64_t n = threadIdx.x; n < heads * half; n += kThreads) {
    const int64_t i = n % half, left = n / half * 2 * half + i, right = left + half;
    const float a = x[left], b = x[right];
    y[left] = a * cosine[i] - b * sine[i];
    y[right] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace

void RotateCuda(const RotateArgs& a, CudaQueue& queue) {
  const int64_t half = a.head_dim / 2;
  Launch(queue,
         {.blocks_x = a.x.rows,
          .threads = kThreads,
          .shared = static_cast<size_t>(2 * Shared::Bytes<float>(half)),
          .name = "rotate"},
         RotateKernel, a.positions.data(), half, a.x.cols / a.head_dim, a.theta, static_cast<float>(a.sign),
         DeviceRows(a.x), DeviceRows(a.y));
}

}  // namespace barista

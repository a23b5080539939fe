// 4 bytes in and out an element. The angles are computed once a row, in double, and serve all of its heads; those of a
// step's rows serve all of its layers.
#include "kernels/cuda/launch.cuh"
#include "kernels/rotary/rotary.h"
#include "kernels/rotary/rotary_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    AnglesKernel(const int64_t* positions, int half, double theta, float* angles) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t row = blockIdx.x;
  for (int i = threadIdx.x; i < half; i += kThreads) {
    ComputeAngle(positions[row], theta, half, i, angles + row * 2 * half);
  }
}

__global__ void __launch_bounds__(kThreads)
    RotateKernel(const int64_t* positions, int half, int heads, double theta, float sign, StepRows rows,
                 DeviceRows x_rows, DeviceRows y_rows) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t row = blockIdx.x;
  if (!Covers(rows, row)) return;
  Shared shared;
  float* angles = shared.Take<float>(2 * half);
  for (int i = threadIdx.x; i < half; i += kThreads) ComputeAngle(positions[row], theta, half, i, angles);
  __syncthreads();
  Angles{angles, half}.TurnHeads(x_rows.row(row), y_rows.row(row), heads, sign);
}

}  // namespace

void AnglesCuda(absl::Span<const int64_t> positions, int64_t head_dim, double theta, float* angles, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = static_cast<int64_t>(positions.size()), .threads = kThreads, .overlaps = true, .name = "angles"},
         AnglesKernel, positions.data(), head_dim / 2, theta, angles);
}

void RotateCuda(const RotateArgs& a, CudaQueue& queue, const StepRows& rows) {
  const int64_t half = a.head_dim / 2;
  Launch(queue,
         {.blocks_x = a.x.rows,
          .threads = kThreads,
          .shared = static_cast<size_t>(Shared::Bytes<float>(2 * half)),
          .overlaps = true,
          .name = "rotate"},
         RotateKernel, a.positions.data(), half, a.x.cols / a.head_dim, a.theta, static_cast<float>(a.sign), rows,
         DeviceRows(a.x), DeviceRows(a.y));
}

}  // namespace barista

// 4 bytes in and out an element. The angles are computed once a row and step, in double, and serve all heads and
// layers.
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

__global__ void __launch_bounds__(kThreads) RotateKernel(const float* angles, int half, int heads, float sign,
                                                         StepRows rows, DeviceRows x_rows, DeviceRows y_rows) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t row = blockIdx.x;
  if (!Covers(rows, row)) return;
  Angles{angles + row * 2 * half, half}.TurnHeads(x_rows.row(row), y_rows.row(row), heads, sign);
}

}  // namespace

void AnglesCuda(absl::Span<const int64_t> positions, int64_t head_dim, double theta, float* angles, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = static_cast<int64_t>(positions.size()), .threads = kThreads, .overlaps = true, .name = "angles"},
         AnglesKernel, positions.data(), head_dim / 2, theta, angles);
}

void RotateCuda(const RotateArgs& a, const float* angles, CudaQueue& queue, const StepRows& rows) {
  Launch(queue, {.blocks_x = a.x.rows, .threads = kThreads, .overlaps = true, .name = "rotate"}, RotateKernel, angles,
         a.head_dim / 2, a.x.cols / a.head_dim, static_cast<float>(a.sign), rows, DeviceRows(a.x), DeviceRows(a.y));
}

}  // namespace barista

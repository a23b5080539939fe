// A row is read up to three times, from L2 after the first: 4 bytes in and out an element. A block a row.
#include <algorithm>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/norm/norm.h"

namespace barista {
namespace {

constexpr int kThreadsMax = 256;

__global__ void __launch_bounds__(kThreadsMax)
    NormKernel(NormKind kind, float eps, const float* weight, const float* bias, int64_t D, DeviceRows x_rows,
               DeviceRows y_rows) {
  Shared shared;
  float* scratch = shared.Take<float>(Warps());
  const float* x = x_rows.row(blockIdx.x);
  float* y = y_rows.row(blockIdx.x);
  float mean = 0, scale = 1;
  if (kind == NormKind::kLayerNorm) {
    float sum = 0;
    for (int64_t d = threadIdx.x; d < D; d += blockDim.x) sum += x[d];
    mean = BlockReduce(sum, Sum(), scratch) / static_cast<float>(D);
  }
  if (kind != NormKind::kAffine) {
    float square = 0;
    for (int64_t d = threadIdx.x; d < D; d += blockDim.x) square += (x[d] - mean) * (x[d] - mean);
    scale = 1.0f / sqrtf(BlockReduce(square, Sum(), scratch) / static_cast<float>(D) + eps);
  }
  for (int64_t d = threadIdx.x; d < D; d += blockDim.x) {
    const float g = (x[d] - mean) * scale * weight[d];
    y[d] = bias == nullptr ? g : g + bias[d];
  }
}

}  // namespace

void NormCuda(const NormArgs& a, CudaQueue& queue) {
  const int threads = static_cast<int>(std::min<int64_t>(RoundUp<int64_t>(a.x.cols, 32), kThreadsMax));
  Launch(queue,
         {.blocks_x = a.x.rows,
          .threads = threads,
          .shared = static_cast<size_t>(Shared::Bytes<float>(threads / 32)),
          .name = "norm"},
         NormKernel, a.kind, static_cast<float>(a.eps), static_cast<const float*>(a.weight),
         static_cast<const float*>(a.bias), a.x.cols, DeviceRows(a.x), DeviceRows(a.y));
}

}  // namespace barista

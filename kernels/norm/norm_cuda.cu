// A row is read up to three times, from L2 after the first: 4 bytes in and out an element. A warp a row.
#include "kernels/cuda/launch.cuh"
#include "kernels/norm/norm_cuda.cuh"

namespace barista {
namespace {

constexpr int kWarps = 4;

__global__ void __launch_bounds__(32 * kWarps) NormKernel(DeviceNorm norm, int64_t rows) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t row = int64_t{blockIdx.x} * kWarps + WarpIndex();
  if (row >= rows) return;
  const NormOfRow normed(norm, norm.x.row(row));
  float* y = norm.y.row(row);
  for (int d = Lane(); d < norm.D; d += 32) y[d] = normed.At(d);
}

}  // namespace

void NormCuda(const NormArgs& a, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(a.x.rows, kWarps), .threads = 32 * kWarps, .overlaps = true, .name = "norm"},
         NormKernel, DeviceNorm(a), a.x.rows);
}

}  // namespace barista

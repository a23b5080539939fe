// Small products of matrices in float, inside a block: eight rows and a column a thread.
#pragma once

#include "kernels/cuda/device.cuh"

namespace barista {

// sums[j] += sum over n in [begin, end) of left[n][j] * right(n): eight rows of a product in one thread, whose
// neighbours have neighbouring columns. left: shared memory, rows `stride` apart, a multiple of 4.
inline constexpr int kTileRows = 8;
template <class Right>
__device__ void AddProducts(float (&sums)[kTileRows], const float* left, int stride, int begin, int end,
                            const Right& right) {
#pragma unroll 4
  for (int n = begin; n < end; ++n) {
    const float4 low = *reinterpret_cast<const float4*>(left + n * stride);
    const float4 high = *reinterpret_cast<const float4*>(left + n * stride + 4);
    const float x = right(n);
    sums[0] += low.x * x;
    sums[1] += low.y * x;
    sums[2] += low.z * x;
    sums[3] += low.w * x;
    sums[4] += high.x * x;
    sums[5] += high.y * x;
    sums[6] += high.z * x;
    sums[7] += high.w * x;
  }
}

// Calls work(first row, column) for every tile of eight rows and every column: a warp a tile of 32 columns. Lanes
// beyond the last column come too.
template <class Work>
__device__ void ForTiles(int rows, int columns, const Work& work) {
  const int across = (columns + 31) / 32;
  for (int tile = WarpIndex(); tile < (rows + kTileRows - 1) / kTileRows * across; tile += Warps()) {
    work(tile / across * kTileRows, tile % across * 32 + Lane());
  }
}

}  // namespace barista

// Rows of activations as the tensor cores want them: tiles of 8 rows and 16 columns, rounded to bf16, 8 bytes a lane.
#pragma once

#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/matmul/product_cuda.cuh"

namespace barista {

// This lane's share of tile (tile, tile_in) of x: columns c, c + 1 and c + 8, c + 9 of a row; zero beyond the matrix.
__device__ inline uint2 RoundTile(const DeviceRows& x, int64_t rows, int64_t in, int tile, int tile_in) {
  const int64_t row = int64_t{tile} * kTileBatch + Lane() / 4, c = int64_t{tile_in} * kTileIn + Lane() % 4 * 2;
  if (row >= rows) return {0, 0};
  const float* from = x.row(row);
  const auto at = [&](int64_t i) { return i < in ? from[i] : 0.0f; };
  return {PackBf16(at(c), at(c + 1)), PackBf16(at(c + 8), at(c + 9))};
}

}  // namespace barista

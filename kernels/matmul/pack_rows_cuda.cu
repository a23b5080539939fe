// Rows of x rounded and packed for products of many rows: 4 bytes in, 2 out an element; with a norm, which is made on
// the way, twice 4 in and 4 more out.
#include "kernels/matmul/product_tiles_cuda.h"
#include "kernels/matmul/round_tile_cuda.cuh"

namespace barista {
namespace {

__global__ void PackKernel(const __grid_constant__ Packings packings) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  int i = packings.count - 1;
  while (packings.of[i].first_block > static_cast<int>(blockIdx.x)) --i;
  const Packing& p = packings.of[i];
  const int n = (static_cast<int>(blockIdx.x) - p.first_block) * Warps() + WarpIndex();
  const int tile = n / p.tiles_in, tile_in = n % p.tiles_in;
  if (tile * kTileBatch >= p.rows) return;
  p.packed[int64_t{n} * 32 + Lane()] = RoundTile(p.x, p.rows, p.in, tile, tile_in);
}

// The norm of a tile of rows a block, a warp a row, packed; the floats too.
__global__ void __launch_bounds__(32 * kTileBatch)
    PackNormKernel(const __grid_constant__ DeviceNorm norm, int64_t rows, int tiles_in, uint2* packed) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t row = int64_t{blockIdx.x} * kTileBatch + WarpIndex();
  uint2* to = packed + int64_t{blockIdx.x} * tiles_in * 32 + WarpIndex() * 4;
  if (row >= rows) {
    for (int n = Lane(); n < tiles_in * 4; n += 32) to[n / 4 * 32 + n % 4] = {0, 0};
    return;
  }
  const NormOfRow normed(norm, norm.x.row(row));
  float* y = norm.y.row(row);
  const auto at = [&](int d) { return d < norm.D ? y[d] = normed.At(d) : 0.0f; };
  for (int n = Lane(); n < tiles_in * 4; n += 32) {
    const int c = n / 4 * kTileIn + n % 4 * 2;
    to[n / 4 * 32 + n % 4] = {PackBf16(at(c), at(c + 1)), PackBf16(at(c + 8), at(c + 9))};
  }
}

}  // namespace

void PackRows(Packings packings, CudaQueue& queue) {
  constexpr int kWarps = 8;
  int blocks = 0;
  for (int i = 0; i < packings.count; ++i) {
    Packing& p = packings.of[i];
    p.first_block = blocks;
    blocks += static_cast<int>(CeilDiv<int64_t>(CeilDiv<int64_t>(p.rows, kTileBatch) * p.tiles_in, kWarps));
  }
  Launch(queue, {.blocks_x = blocks, .threads = 32 * kWarps, .overlaps = true, .name = "pack_rows"}, PackKernel,
         packings);
}

void PackNormedRows(const DeviceNorm& norm, int64_t rows, uint2* packed, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(rows, kTileBatch),
          .threads = 32 * kTileBatch,
          .overlaps = true,
          .name = "pack_normed_rows"},
         PackNormKernel, norm, rows, CeilDiv(norm.D, kTileIn), packed);
}

}  // namespace barista

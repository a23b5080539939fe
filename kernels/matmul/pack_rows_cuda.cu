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
  const uint2 words = RoundTile(p.x, p.rows, p.in, tile, tile_in);
  uint32_t* to = p.packed + int64_t{n} * kPackedWords + Lane();
  to[0] = words.x;
  to[32] = words.y;
}

// The norm of a tile of rows a block, a warp a row, packed; the floats too.
__global__ void __launch_bounds__(32 * kTileBatch)
    PackNormKernel(const __grid_constant__ DeviceNorm norm, int64_t rows, int tiles_in, uint32_t* packed) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t row = int64_t{blockIdx.x} * kTileBatch + WarpIndex();
  uint32_t* to = packed + int64_t{blockIdx.x} * tiles_in * kPackedWords + WarpIndex() * 4;
  const auto put = [to](int n, uint32_t first, uint32_t second) {  // columns n % 4 * 2 on of tile n / 4, and 8 on
    uint32_t* words = to + n / 4 * kPackedWords + n % 4;
    words[0] = first;
    words[32] = second;
  };
  if (row >= rows) {
    for (int n = Lane(); n < tiles_in * 4; n += 32) put(n, 0, 0);
    return;
  }
  const NormOfRow normed(norm, norm.x.row(row));
  float* y = norm.y.row(row);
  const auto at = [&](int d) { return d < norm.D ? y[d] = normed.At(d) : 0.0f; };
  for (int n = Lane(); n < tiles_in * 4; n += 32) {
    const int c = n / 4 * kTileIn + n % 4 * 2;
    put(n, PackBf16(at(c), at(c + 1)), PackBf16(at(c + 8), at(c + 9)));
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

void PackNormedRows(const DeviceNorm& norm, int64_t rows, uint32_t* packed, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(rows, kTileBatch),
          .threads = 32 * kTileBatch,
          .overlaps = true,
          .name = "pack_normed_rows"},
         PackNormKernel, norm, rows, CeilDiv(norm.D, kTileIn), packed);
}

}  // namespace barista

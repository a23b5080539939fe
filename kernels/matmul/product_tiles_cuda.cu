// y = x W^T on the tensor cores, weights as the 16-row operand: a warp reads a tile as 8 elements a lane, straight
// into the registers that the instruction wants; integers become bf16 on the way.
//
// Bytes: the weight once, as long as rows are at most 64; x from L2. Operations: 2 in out rows. Few rows
// are bound by the weight's bytes: a block has a warp a slice of `in`, so that even a small weight is under way on many
// multiprocessors at once. Many rows are bound by the tensor cores: a warp multiplies 2 x 8 tiles and walks all of
// `in`, adding the slices' sums in the order that the other form adds its warps'.
#include <algorithm>

#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/matmul/product_tiles_cuda.h"

namespace barista {
namespace {

constexpr int kSlicesMax = 8;
constexpr int kSplitThreads = 32 * kSlicesMax;
constexpr int kWarpsOut = 4, kWarpsBatch = 2;  // of a block that does not split
constexpr int kWholeThreads = 32 * kWarpsOut * kWarpsBatch;

__device__ uint32_t PackPair(float low, float high) {
  return uint32_t{ToBFloat16(low).bits} | uint32_t{ToBFloat16(high).bits} << 16;
}

// This lane's share of tile (tile, tile_in) of x: columns c, c + 1 and c + 8, c + 9 of a row; zero beyond the matrix.
__device__ uint2 RoundTile(const DeviceRows& x, int64_t rows, int64_t in, int tile, int tile_in) {
  const int64_t row = int64_t{tile} * kTileBatch + Lane() / 4, c = int64_t{tile_in} * kTileIn + Lane() % 4 * 2;
  if (row >= rows) return {0, 0};
  const float* from = x.row(row);
  const auto at = [&](int64_t i) { return i < in ? from[i] : 0.0f; };
  return {PackPair(at(c), at(c + 1)), PackPair(at(c + 8), at(c + 9))};
}

template <bool kPacked>
__device__ uint2 LoadX(const Product& p, int tile, int tile_in) {
  if constexpr (kPacked) return p.packed[(int64_t{tile} * p.tiles_in + tile_in) * 32 + Lane()];
  return RoundTile(p.x, p.ending.rows, p.in, tile, tile_in);
}

// Integers in [-128, 127] as bf16, exactly. byte: of the integer plus 128, in the low bits; what lies above is ignored.
__device__ float BytesValue(uint32_t byte) {
  return std::bit_cast<float>(0x4b000000u | (byte & 0xffu)) - (8388608.0f + 128.0f);
}
__device__ uint32_t PackExact(float low, float high) {
  return std::bit_cast<uint32_t>(low) >> 16 | (std::bit_cast<uint32_t>(high) & 0xffff0000u);
}

// This lane's share of one tile of the weight.
template <WeightForm kForm>
__device__ uint4 LoadWeight(const Product& p, int unit, int tile_in) {
  const int64_t at = (int64_t{unit} * p.tiles_in + tile_in) * 32 + Lane();
  if constexpr (kForm == WeightForm::kBF16) {
    return static_cast<const uint4*>(p.weight)[at];
  } else if constexpr (kForm == WeightForm::kInt8) {
    const uint2 bytes = static_cast<const uint2*>(p.weight)[at];
    const auto pair = [](uint32_t two) { return PackExact(BytesValue(two), BytesValue(two >> 8)); };
    return {pair(bytes.x), pair(bytes.x >> 16), pair(bytes.y), pair(bytes.y >> 16)};
  } else {
    const uint32_t nibbles = static_cast<const uint32_t*>(p.weight)[at];
    const uint8_t* m = p.multipliers + (int64_t{unit} * ((p.tiles_in + 1) / 2) + tile_in / 2) * kTileOut + Lane() / 4;
    const float m0 = m[0], m1 = m[8];
    const auto value = [nibbles](int i) { return BytesValue((nibbles >> (4 * i) & 15u) + 120u); };
    return {PackExact(value(0) * m0, value(1) * m0), PackExact(value(2) * m1, value(3) * m1),
            PackExact(value(4) * m0, value(5) * m0), PackExact(value(6) * m1, value(7) * m1)};
  }
}

// sums += units [unit, unit + O) of the weight times tiles [tile, tile + B) of x over one slice of `in`.
template <WeightForm kForm, int O, int B, bool kPacked>
__device__ void MultiplySlice(float (&sums)[O][B][4], const Product& p, int unit, int tile, int slice) {
  const int tiles = static_cast<int>((p.ending.rows + kTileBatch - 1) / kTileBatch);
  const int begin = p.tiles_in * slice / p.slices, end = p.tiles_in * (slice + 1) / p.slices;
  [[maybe_unused]] constexpr int kAhead = B == 1 ? 4 : 2;  // tiles whose loads are under way together
#pragma unroll kAhead
  for (int i = begin; i < end; ++i) {
    uint4 a[O];
#pragma unroll
    for (int o = 0; o < O; ++o) {
      a[o] = unit + o < p.units ? LoadWeight<kForm>(p, unit + o, i) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int b = 0; b < B; ++b) {
      if (tile + b >= tiles) continue;
      const uint2 x = LoadX<kPacked>(p, tile + b, i);
#pragma unroll
      for (int o = 0; o < O; ++o) MmaBf16(sums[o][b], a[o], x);
    }
  }
}

__device__ void Finish(const Product& p, int unit, int tile, const float (&sums)[4]) {
  if (unit >= p.units) return;
  const int64_t row = int64_t{tile} * kTileBatch + Lane() % 4 * 2;
  if (p.ending.gated) {
    const int64_t o = int64_t{unit} * (kTileOut / 2) + Lane() / 4;
    p.ending.Gated(row, o, sums[0], sums[2]);
    p.ending.Gated(row + 1, o, sums[1], sums[3]);
    return;
  }
  const int64_t o = int64_t{unit} * kTileOut + Lane() / 4;
  p.ending.Plain(row, o, sums[0]);
  p.ending.Plain(row + 1, o, sums[1]);
  p.ending.Plain(row, o + 8, sums[2]);
  p.ending.Plain(row + 1, o + 8, sums[3]);
}

// A warp a slice, its sums handed over in shared memory.
template <WeightForm kForm, int O, int B, bool kPacked>
__global__ void __launch_bounds__(kSplitThreads, 1) SplitKernel(const __grid_constant__ Products products) {
  const Product& p = products.Of(blockIdx.x);
  const int unit = (static_cast<int>(blockIdx.x) - p.first_block) * O, tile = static_cast<int>(blockIdx.y) * B;
  Shared shared;
  float4* parts = shared.Take<float4>(kSlicesMax * O * B * 32);  // [slice, O, B, lane]
  if (WarpIndex() < p.slices) {
    float sums[O][B][4] = {};
    MultiplySlice<kForm, O, B, kPacked>(sums, p, unit, tile, WarpIndex());
#pragma unroll
    for (int o = 0; o < O; ++o) {
#pragma unroll
      for (int b = 0; b < B; ++b) {
        parts[((WarpIndex() * O + o) * B + b) * 32 + Lane()] = {sums[o][b][0], sums[o][b][1], sums[o][b][2],
                                                                sums[o][b][3]};
      }
    }
  }
  __syncthreads();
  for (int n = WarpIndex(); n < O * B; n += Warps()) {
    const float4 first = parts[n * 32 + Lane()];
    float sums[4] = {first.x, first.y, first.z, first.w};
    for (int slice = 1; slice < p.slices; ++slice) {
      const float4 part = parts[(slice * O * B + n) * 32 + Lane()];
      sums[0] += part.x, sums[1] += part.y, sums[2] += part.z, sums[3] += part.w;
    }
    Finish(p, unit + n / B, tile + n % B, sums);
  }
}

// A warp all slices of its own tiles.
template <WeightForm kForm, int O, int B>
__global__ void __launch_bounds__(kWholeThreads) WholeKernel(const __grid_constant__ Products products) {
  const Product& p = products.Of(blockIdx.x);
  const int unit = ((static_cast<int>(blockIdx.x) - p.first_block) * kWarpsOut + WarpIndex() % kWarpsOut) * O;
  const int tile = (static_cast<int>(blockIdx.y) * kWarpsBatch + WarpIndex() / kWarpsOut) * B;
  float totals[O][B][4] = {};
  for (int slice = 0; slice < p.slices; ++slice) {
    float sums[O][B][4] = {};
    MultiplySlice<kForm, O, B, true>(sums, p, unit, tile, slice);
#pragma unroll
    for (int o = 0; o < O; ++o) {
#pragma unroll
      for (int b = 0; b < B; ++b) {
#pragma unroll
        for (int j = 0; j < 4; ++j) totals[o][b][j] = slice == 0 ? sums[o][b][j] : totals[o][b][j] + sums[o][b][j];
      }
    }
  }
#pragma unroll
  for (int o = 0; o < O; ++o) {
#pragma unroll
    for (int b = 0; b < B; ++b) Finish(p, unit + o, tile + b, totals[o][b]);
  }
}

__global__ void PackKernel(const __grid_constant__ Packings packings) {
  int i = packings.count - 1;
  while (packings.of[i].first_block > static_cast<int>(blockIdx.x)) --i;
  const Packing& p = packings.of[i];
  const int n = (static_cast<int>(blockIdx.x) - p.first_block) * Warps() + WarpIndex();
  const int tile = n / p.tiles_in, tile_in = n % p.tiles_in;
  if (tile * kTileBatch >= p.rows) return;
  p.packed[int64_t{n} * 32 + Lane()] = RoundTile(p.x, p.rows, p.in, tile, tile_in);
}

// Deals blocks of `units` units each to the products; their number.
int64_t Deal(Products& products, int units) {
  int blocks = 0;
  for (int i = 0; i < products.count; ++i) {
    products.of[i].first_block = blocks;
    blocks += CeilDiv(products.of[i].units, units);
  }
  return blocks;
}

template <WeightForm kForm, int O, int B, bool kPacked>
void Split(Products& products, int64_t rows, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = Deal(products, O),
                .blocks_y = CeilDiv<int64_t>(rows, kTileBatch * B),
                .threads = kSplitThreads,
                .shared = static_cast<size_t>(Shared::Bytes<float4>(kSlicesMax * O * B * 32)),
                .name = "product_tiles_split"},
               SplitKernel<kForm, O, B, kPacked>);
}

template <WeightForm kForm, int O, int B>
void Whole(Products& products, int64_t rows, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = Deal(products, kWarpsOut * O),
                .blocks_y = CeilDiv<int64_t>(rows, kTileBatch * kWarpsBatch * B),
                .threads = kWholeThreads,
                .name = "product_tiles_whole"},
               WholeKernel<kForm, O, B>);
}

template <WeightForm kForm>
void Run(Products& products, int64_t rows, int multiprocessors, CudaQueue& queue) {
  constexpr int kSplitRowsMax = 64;  // more rows are worth reading the weight again for
  if (rows <= kDirectRowsMax) return Split<kForm, 1, 1, false>(products, rows, queue);
  if (rows <= kSplitRowsMax) return Split<kForm, 2, 8, true>(products, rows, queue);
  const int64_t large = Deal(products, kWarpsOut * 2) * CeilDiv<int64_t>(rows, kTileBatch * kWarpsBatch * 8);
  if (large >= multiprocessors) return Whole<kForm, 2, 8>(products, rows, queue);
  Whole<kForm, 1, 4>(products, rows, queue);
}

}  // namespace

void RunTileProducts(Products products, WeightForm form, int64_t rows, int multiprocessors, CudaQueue& queue) {
  if (form == WeightForm::kBF16) return Run<WeightForm::kBF16>(products, rows, multiprocessors, queue);
  if (form == WeightForm::kInt8) return Run<WeightForm::kInt8>(products, rows, multiprocessors, queue);
  Run<WeightForm::kInt4>(products, rows, multiprocessors, queue);
}

void PackRows(Packings packings, CudaQueue& queue) {
  constexpr int kWarps = 8;
  int blocks = 0;
  for (int i = 0; i < packings.count; ++i) {
    Packing& p = packings.of[i];
    p.first_block = blocks;
    blocks += static_cast<int>(CeilDiv<int64_t>(CeilDiv<int64_t>(p.rows, kTileBatch) * p.tiles_in, kWarps));
  }
  Launch(queue, {.blocks_x = blocks, .threads = 32 * kWarps, .name = "pack_rows"}, PackKernel, packings);
}

}  // namespace barista

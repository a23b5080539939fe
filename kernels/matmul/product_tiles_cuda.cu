// y = x W^T on the tensor cores, weights as the 16-row operand: a warp reads a tile as 8 elements a lane, straight
// into the registers that the instruction wants; integers become bf16 on the way.
//
// Bytes: the weight once, as long as rows are at most 64; x from L2. Operations: 2 in out rows. Few rows
// are bound by the weight's bytes: a block has a warp a slice of `in`, so that even a small weight is under way on many
// multiprocessors at once, and a warp has its first tiles under way before the launch ahead has ended. Many rows are
// bound by the tensor cores: a warp multiplies 2 x 8 tiles and walks all of `in`, adding the slices' sums in the order
// that the other form adds its warps'. A norm before the product is made by every block for itself where rows are few,
// while its weights come; where they are packed, by the packing.
#include <algorithm>
#include <type_traits>

#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/matmul/product_tiles_cuda.h"
#include "kernels/matmul/round_tile_cuda.cuh"

namespace barista {
namespace {

constexpr int kSlicesMax = 8;
constexpr int kSplitThreads = 32 * kSlicesMax;
constexpr int kWarpsOut = 4, kWarpsBatch = 2;  // of a block that does not split
constexpr int kWholeThreads = 32 * kWarpsOut * kWarpsBatch;

// This lane's share of tile (tile, tile_in) of x, which is
// the product's own rows, rounded on the way,
struct FloatX {
  __device__ uint2 operator()(const Product& p, int tile, int tile_in) const {
    return RoundTile(p.x, p.ending.rows, p.in, tile, tile_in);
  }
};
// packed before,
struct PackedX {
  __device__ uint2 operator()(const Product& p, int tile, int tile_in) const {
    return p.packed[(int64_t{tile} * p.packed_tiles_in + tile_in) * 32 + Lane()];
  }
};
// or the block's own norm of one tile of rows, in shared memory.
struct NormedX {
  // Rows lie so that the lanes of a load meet all banks.
  static constexpr int64_t StrideOf(int64_t D) { return RoundUp<int64_t>(D, kTileIn) + kNormedGap; }
  static int64_t SharedBytes(int64_t D) { return Shared::Bytes<uint32_t>(kTileBatch * StrideOf(D) / 2); }

  __device__ NormedX(Shared& shared, const DeviceNorm& norm)
      : stride(static_cast<int>(StrideOf(norm.D))), pairs(shared.Take<uint32_t>(kTileBatch * stride / 2)) {}

  // A warp a row; the first block also keeps the floats.
  __device__ void Make(const DeviceNorm& norm, int64_t rows) const {
    const int64_t row = WarpIndex();
    if (row >= min(rows, int64_t{kTileBatch})) return;
    const NormOfRow normed(norm, norm.x.row(row));
    const auto at = [&](int d) {
      if (d >= norm.D) return 0.0f;
      const float value = normed.At(d);
      if (blockIdx.x == 0) norm.y.row(row)[d] = value;
      return value;
    };
    for (int d = 2 * Lane(); d < stride; d += 64) pairs[(WarpIndex() * stride + d) / 2] = PackBf16(at(d), at(d + 1));
  }
  __device__ uint2 operator()(const Product& p, int, int tile_in) const {
    const int row = Lane() / 4, c = p.first_column + tile_in * kTileIn + Lane() % 4 * 2;
    if (row >= p.ending.rows) return {0, 0};
    return {pairs[(row * stride + c) / 2], pairs[(row * stride + c + 8) / 2]};
  }

  int stride;  // elements
  uint32_t* pairs;
};

// Integers in [-128, 127] as bf16, exactly. byte: of the integer plus 128, in the low bits; what lies above is ignored.
__device__ float BytesValue(uint32_t byte) {
  return std::bit_cast<float>(0x4b000000u | (byte & 0xffu)) - (8388608.0f + 128.0f);
}
__device__ uint32_t PackExact(float low, float high) {
  return std::bit_cast<uint32_t>(low) >> 16 | (std::bit_cast<uint32_t>(high) & 0xffff0000u);
}

// This lane's share of one tile of the weight, as it lies in memory.
template <WeightForm kForm>
struct RawTile;
template <>
struct RawTile<WeightForm::kBF16> {
  using Type = uint4;
};
template <>
struct RawTile<WeightForm::kInt8> {
  using Type = uint2;
};
template <>
struct RawTile<WeightForm::kInt4> {
  using Type = uint32_t;
};

// The same as the instruction wants it.
template <WeightForm kForm>
__device__ uint4 Expand(const Product& p, int unit, int tile_in, const typename RawTile<kForm>::Type& raw) {
  if constexpr (kForm == WeightForm::kBF16) {
    return raw;
  } else if constexpr (kForm == WeightForm::kInt8) {
    const auto pair = [](uint32_t two) { return PackExact(BytesValue(two), BytesValue(two >> 8)); };
    return {pair(raw.x), pair(raw.x >> 16), pair(raw.y), pair(raw.y >> 16)};
  } else {
    const uint8_t* m = p.multipliers + (int64_t{unit} * ((p.tiles_in + 1) / 2) + tile_in / 2) * kTileOut + Lane() / 4;
    const float m0 = m[0], m1 = m[8];
    const auto value = [raw](int i) { return BytesValue((raw >> (4 * i) & 15u) + 120u); };
    return {PackExact(value(0) * m0, value(1) * m0), PackExact(value(2) * m1, value(3) * m1),
            PackExact(value(4) * m0, value(5) * m0), PackExact(value(6) * m1, value(7) * m1)};
  }
}

// Units [unit, unit + O) of the weight over a slice of `in`, kAhead of its tiles under way; of no slice where there are
// fewer.
template <WeightForm kForm, int O>
class Weights {
 public:
  static constexpr int kAhead = O == 1 ? 8 : 4;

  __device__ Weights(const Product& p, int unit, int slice)
      : p_(p),
        unit_(unit),
        begin_(min(p.tiles_in * slice / p.slices, p.tiles_in)),
        end_(min(p.tiles_in * (slice + 1) / p.slices, p.tiles_in)) {
#pragma unroll
    for (int j = 0; j < kAhead; ++j) Load(j, begin_ + j);
  }

  // sums += all of them times tiles [tile, tile + B) of x.
  template <int B, class X>
  __device__ void Multiply(float (&sums)[O][B][4], const X& x_of, int tile) {
    const int tiles = static_cast<int>((p_.ending.rows + kTileBatch - 1) / kTileBatch);
    for (int first = begin_; first < end_; first += kAhead) {
#pragma unroll
      for (int j = 0; j < kAhead; ++j) {
        const int i = first + j;
        if (i >= end_) continue;
        uint4 a[O];
#pragma unroll
        for (int o = 0; o < O; ++o) {
          a[o] = unit_ + o < p_.units ? Expand<kForm>(p_, unit_ + o, i, ahead_[j][o]) : uint4{0, 0, 0, 0};
        }
        Load(j, i + kAhead);
#pragma unroll
        for (int b = 0; b < B; ++b) {
          if (tile + b >= tiles) continue;
          const uint2 x = x_of(p_, tile + b, i);
#pragma unroll
          for (int o = 0; o < O; ++o) MmaBf16(sums[o][b], a[o], x);
        }
      }
    }
  }

 private:
  using Raw = typename RawTile<kForm>::Type;

  __device__ void Load(int j, int tile_in) {
    if (tile_in >= end_) return;
#pragma unroll
    for (int o = 0; o < O; ++o) {
      if (unit_ + o >= p_.units) continue;
      ahead_[j][o] = static_cast<const Raw*>(p_.weight)[(int64_t{unit_ + o} * p_.tiles_in + tile_in) * 32 + Lane()];
    }
  }

  const Product& p_;
  int unit_, begin_, end_;
  Raw ahead_[kAhead][O];
};

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
template <WeightForm kForm, int O, int B, class X>
__device__ void SplitProduct(const Products& products, const DeviceNorm& norm) {
  const Product& p = products.Of(blockIdx.x);
  const int unit = (static_cast<int>(blockIdx.x) - p.first_block) * O, tile = static_cast<int>(blockIdx.y) * B;
  Shared shared;
  float4* parts = shared.Take<float4>(kSlicesMax * O * B * 32);  // [slice, O, B, lane]
  Weights<kForm, O> weights(p, unit, WarpIndex());
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const X x = [&] {
    if constexpr (std::is_same_v<X, NormedX>)
      return NormedX(shared, norm);
    else
      return X();
  }();
  if constexpr (std::is_same_v<X, NormedX>) {
    x.Make(norm, p.ending.rows);
    __syncthreads();
  }
  if (WarpIndex() < p.slices) {
    float sums[O][B][4] = {};
    weights.template Multiply<B>(sums, x, tile);
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

template <WeightForm kForm, int O, int B, class X>
__global__ void __launch_bounds__(kSplitThreads, 1) SplitKernel(const __grid_constant__ Products products) {
  SplitProduct<kForm, O, B, X>(products, {});
}

template <WeightForm kForm>
__global__ void __launch_bounds__(kSplitThreads, 1)
    NormSplitKernel(const __grid_constant__ Products products, const __grid_constant__ DeviceNorm norm) {
  SplitProduct<kForm, 1, 1, NormedX>(products, norm);
}

// A warp all slices of its own tiles.
template <WeightForm kForm, int O, int B>
__global__ void __launch_bounds__(kWholeThreads) WholeKernel(const __grid_constant__ Products products) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const Product& p = products.Of(blockIdx.x);
  const int unit = ((static_cast<int>(blockIdx.x) - p.first_block) * kWarpsOut + WarpIndex() % kWarpsOut) * O;
  const int tile = (static_cast<int>(blockIdx.y) * kWarpsBatch + WarpIndex() / kWarpsOut) * B;
  float totals[O][B][4] = {};
  for (int slice = 0; slice < p.slices; ++slice) {
    float sums[O][B][4] = {};
    Weights<kForm, O>(p, unit, slice).template Multiply<B>(sums, PackedX(), tile);
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

// Deals blocks of `units` units each to the products; their number.
int64_t Deal(Products& products, int units) {
  int blocks = 0;
  for (int i = 0; i < products.count; ++i) {
    products.of[i].first_block = blocks;
    blocks += CeilDiv(products.of[i].units, units);
  }
  return blocks;
}

int64_t PartsBytes(int O, int B) { return Shared::Bytes<float4>(kSlicesMax * O * B * 32); }

template <WeightForm kForm, int O, int B, class X>
void Split(Products& products, int64_t rows, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = Deal(products, O),
                .blocks_y = CeilDiv<int64_t>(rows, kTileBatch * B),
                .threads = kSplitThreads,
                .shared = static_cast<size_t>(PartsBytes(O, B)),
                .overlaps = true,
                .name = "product_tiles_split"},
               SplitKernel<kForm, O, B, X>);
}

template <WeightForm kForm>
void NormSplit(Products& products, const DeviceNorm& norm, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = Deal(products, 1),
                .threads = kSplitThreads,
                .shared = static_cast<size_t>(PartsBytes(1, 1) + NormedX::SharedBytes(norm.D)),
                .overlaps = true,
                .name = "product_tiles_norm"},
               NormSplitKernel<kForm>, norm);
}

template <WeightForm kForm, int O, int B>
void Whole(Products& products, int64_t rows, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = Deal(products, kWarpsOut * O),
                .blocks_y = CeilDiv<int64_t>(rows, kTileBatch * kWarpsBatch * B),
                .threads = kWholeThreads,
                .overlaps = true,
                .name = "product_tiles_whole"},
               WholeKernel<kForm, O, B>);
}

template <WeightForm kForm>
void Run(Products& products, int64_t rows, int multiprocessors, CudaQueue& queue) {
  constexpr int kSplitRowsMax = 64;  // more rows are worth reading the weight again for
  if (rows <= kDirectRowsMax) return Split<kForm, 1, 1, FloatX>(products, rows, queue);
  if (rows <= kSplitRowsMax) return Split<kForm, 2, 8, PackedX>(products, rows, queue);
  const int64_t large = Deal(products, kWarpsOut * 2) * CeilDiv<int64_t>(rows, kTileBatch * kWarpsBatch * 8);
  if (large >= multiprocessors) return Whole<kForm, 2, 8>(products, rows, queue);
  Whole<kForm, 1, 4>(products, rows, queue);
}

template <class Work>
void WithForm(WeightForm form, const Work& work) {
  if (form == WeightForm::kBF16) return work.template operator()<WeightForm::kBF16>();
  if (form == WeightForm::kInt8) return work.template operator()<WeightForm::kInt8>();
  work.template operator()<WeightForm::kInt4>();
}

}  // namespace

void RunTileProducts(Products products, WeightForm form, int64_t rows, int multiprocessors, CudaQueue& queue) {
  WithForm(form, [&]<WeightForm kForm> { Run<kForm>(products, rows, multiprocessors, queue); });
}

bool NormedTileFits(int64_t D) {
  constexpr int64_t kSharedMax = 96 << 10;  // two blocks a multiprocessor
  return PartsBytes(1, 1) + NormedX::SharedBytes(D) <= kSharedMax;
}

void RunNormTileProducts(Products products, WeightForm form, const DeviceNorm& norm, CudaQueue& queue) {
  WithForm(form, [&]<WeightForm kForm> { NormSplit<kForm>(products, norm, queue); });
}

}  // namespace barista

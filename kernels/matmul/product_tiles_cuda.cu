// y = x W^T of few rows on the tensor cores, weights as the 16-row operand: a warp reads a tile as 8 elements a lane,
// straight into the registers that the instruction wants; integers become bf16 on the way.
//
// Bytes: the weight once; x from L2. A block has a unit of 16 outputs and a warp a slice of `in`, so that even a small
// weight is under way on many multiprocessors at once; a warp has kAhead tiles under way, the first before the launch
// ahead has ended. A norm before the product is made by every block for itself, while its weights come.
#include <type_traits>

#include "kernels/matmul/finish_tiles_cuda.cuh"
#include "kernels/matmul/product_blocks_cuda.h"
#include "kernels/matmul/product_tiles_cuda.h"
#include "kernels/matmul/round_tile_cuda.cuh"
#include "kernels/matmul/weight_tiles_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 32 * kSlicesMax;
constexpr int kBlocksAtOnce = 4;  // of a multiprocessor

// This lane's share of tile tile_in of x, which is the product's own rows, rounded on the way,
struct FloatX {
  __device__ uint2 operator()(const Product& p, int tile_in) const {
    return RoundTile(p.x, p.ending.rows, p.in, 0, tile_in);
  }
};
// or the block's own norm of them, in shared memory.
struct NormedX {
  // Rows lie so that the lanes of a load meet all banks.
  static constexpr int64_t StrideOf(int64_t D) { return RoundUp<int64_t>(D, kTileIn) + kNormedGap; }
  static int64_t SharedBytes(int64_t D) { return Shared::Bytes<uint32_t>(kTileBatch * StrideOf(D) / 2); }

  __device__ NormedX(Shared& shared, const DeviceNorm& norm)
      : stride(static_cast<int>(StrideOf(norm.D))), pairs(shared.Take<uint32_t>(kTileBatch * stride / 2)) {}

  // A warp a row; the first block also keeps the floats.
  __device__ void Make(const DeviceNorm& norm, int64_t rows) const {
    for (int row = WarpIndex(); row < rows; row += Warps()) {
      const NormOfRow normed(norm, norm.x.row(row));
      const auto at = [&](int d) {
        if (d >= norm.D) return 0.0f;
        const float value = normed.At(d);
        if (blockIdx.x == 0) norm.y.row(row)[d] = value;
        return value;
      };
      for (int d = 2 * Lane(); d < stride; d += 64) pairs[(row * stride + d) / 2] = PackBf16(at(d), at(d + 1));
    }
  }
  __device__ uint2 operator()(const Product& p, int tile_in) const {
    const int row = Lane() / 4, c = p.first_column + tile_in * kTileIn + Lane() % 4 * 2;
    if (row >= p.ending.rows) return {0, 0};
    return {pairs[(row * stride + c) / 2], pairs[(row * stride + c + 8) / 2]};
  }

  int stride;  // elements
  uint32_t* pairs;
};

// A unit of the weight over a slice of `in`, kAhead of its tiles under way; of no slice where there are fewer.
template <WeightForm kForm>
class Weights {
 public:
  static constexpr int kAhead = 16;

  __device__ Weights(const Product& p, int unit, int slice)
      : p_(p), unit_(unit), begin_(SliceBegin(p, slice)), end_(SliceBegin(p, slice + 1)) {
#pragma unroll
    for (int j = 0; j < kAhead; ++j) Load(j, begin_ + j);
  }

  // sums += all of them times the rows of x.
  template <class X>
  __device__ void Multiply(float (&sums)[4], const X& x_of) {
    for (int first = begin_; first < end_; first += kAhead) {
#pragma unroll
      for (int j = 0; j < kAhead; ++j) {
        const int i = first + j;
        if (i >= end_) continue;
        const uint4 a = Expand<kForm>(p_, unit_, i, ahead_[j]);
        Load(j, i + kAhead);
        MmaBf16(sums, a, x_of(p_, i));
      }
    }
  }

 private:
  __device__ void Load(int j, int tile_in) {
    if (tile_in >= end_) return;
    ahead_[j] = static_cast<const Raw<kForm>*>(p_.weight)[(int64_t{unit_} * p_.tiles_in + tile_in) * 32 + Lane()];
  }

  const Product& p_;
  int unit_, begin_, end_;
  Raw<kForm> ahead_[kAhead];
};

// A warp a slice, its sums handed over in shared memory.
template <WeightForm kForm, class X>
__device__ void SplitProduct(const Products& products, const DeviceNorm& norm) {
  const Product& p = products.Of(blockIdx.x);
  const int unit = static_cast<int>(blockIdx.x) - p.first_block;
  Shared shared;
  float4* parts = shared.Take<float4>(kSlicesMax * 32);
  Weights<kForm> weights(p, unit, WarpIndex());
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
    float sums[4] = {};
    weights.Multiply(sums, x);
    parts[WarpIndex() * 32 + Lane()] = {sums[0], sums[1], sums[2], sums[3]};
  }
  FinishedTile finished;
  finished.Begin(p, unit, 0);
  __syncthreads();
  if (WarpIndex() != 0) return;
  float4 sums = parts[Lane()];
  for (int slice = 1; slice < p.slices; ++slice) sums = Added(sums, parts[slice * 32 + Lane()]);
  finished.Write(p, sums);
}

template <WeightForm kForm>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) SplitKernel(const __grid_constant__ Products products) {
  SplitProduct<kForm, FloatX>(products, {});
}

template <WeightForm kForm>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce)
    NormSplitKernel(const __grid_constant__ Products products, const __grid_constant__ DeviceNorm norm) {
  SplitProduct<kForm, NormedX>(products, norm);
}

constexpr int64_t kPartsBytes = Shared::Bytes<float4>(kSlicesMax * 32);

template <WeightForm kForm>
void Split(Products& products, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = products.Deal(1),
                .threads = kThreads,
                .shared = static_cast<size_t>(kPartsBytes),
                .overlaps = true,
                .name = "product_tiles_split"},
               SplitKernel<kForm>);
}

template <WeightForm kForm>
void NormSplit(Products& products, const DeviceNorm& norm, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = products.Deal(1),
                .threads = kThreads,
                .shared = static_cast<size_t>(kPartsBytes + NormedX::SharedBytes(norm.D)),
                .overlaps = true,
                .name = "product_tiles_norm"},
               NormSplitKernel<kForm>, norm);
}

template <class Work>
void WithForm(WeightForm form, const Work& work) {
  if (form == WeightForm::kBF16) return work.template operator()<WeightForm::kBF16>();
  if (form == WeightForm::kInt8) return work.template operator()<WeightForm::kInt8>();
  work.template operator()<WeightForm::kInt4>();
}

}  // namespace

void RunTileProducts(Products products, WeightForm form, int64_t rows, const CudaCard& card, CudaQueue& queue) {
  WithForm(form, [&]<WeightForm kForm> {
    if (rows <= kDirectRowsMax) return Split<kForm>(products, queue);
    RunBlockProducts<kForm>(products, rows, card, queue);
  });
}

bool NormedTileFits(int64_t D) {
  constexpr int64_t kSharedMax = 96 << 10;  // two blocks a multiprocessor
  return kPartsBytes + NormedX::SharedBytes(D) <= kSharedMax;
}

void RunNormTileProducts(Products products, WeightForm form, const DeviceNorm& norm, CudaQueue& queue) {
  WithForm(form, [&]<WeightForm kForm> { NormSplit<kForm>(products, norm, queue); });
}

}  // namespace barista

// A block of outputs times a block of rows: tiles of both come to shared memory by asynchronous copies, kStages of two
// tiles of `in` in a ring, and go from there to registers in the order they lie in memory.
//
// On Hopper warpgroups multiply in place of warps where the bits are found to be the same (warpgroups_cuda.h): weights
// from registers all the same, rows read from shared memory by the tensor cores; a stage is multiplied while the next
// is fetched to registers.
//
// Bytes from L2: (1 / outputs + 1 / rows of a block) an operation, so large blocks where there are enough of them to
// fill the card: of 256 x 128 outputs and rows, 85 operations a byte, 64 x 64 each a warp. The sums of a slice are in
// registers, those of the slices before it in shared memory. Where there are fewer, small blocks of 64 or 32 outputs
// and 64 rows, whose warps take a slice of `in` each, as in product_tiles_cuda.cu, and whose sums meet in shared
// memory. Either way the same sums are added in the same order.
#include <cuda_pipeline.h>

#include <algorithm>
#include <cmath>

#include "kernels/matmul/finish_tiles_cuda.cuh"
#include "kernels/matmul/product_blocks_cuda.h"
#include "kernels/matmul/weight_tiles_cuda.cuh"
#include "kernels/matmul/wgmma_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;
constexpr int kStep = 2;  // tiles of `in` in a stage

// Groups of warps, one a slice of `in`; one group takes all slices, one after the other. Its warps lie kWarpsOut x
// kWarpsBatch; each multiplies kUnits x kTiles.
template <int groups, int warps_out, int warps_batch, int units, int tiles, int stages, bool warpgroups = false>
struct Shape {
  static constexpr int kGroups = groups, kWarpsOut = warps_out, kWarpsBatch = warps_batch;
  static constexpr int kUnits = units, kTiles = tiles, kStages = stages;
  static constexpr int kWarps = kWarpsOut * kWarpsBatch;  // of a group
  static constexpr int kBlockUnits = kWarpsOut * kUnits, kBlockTiles = kWarpsBatch * kTiles;
  static constexpr bool kSplit = kGroups > 1, kWarpgroups = warpgroups;
  // Stages that are under way. A warpgroup still multiplies the one before when the next is there.
  static constexpr int Ahead() { return kStages - (kWarpgroups ? 2 : 1); }
  static_assert(32 * kGroups * kWarps == kThreads);
};
using Large = Shape<1, 4, 2, 4, 8, 4>;
using LargeOfWarpgroups = Shape<1, 8, 1, 2, kGroupTiles, 4, true>;
using Middle = Shape<1, 4, 2, 2, 8, 4>;
using Small = Shape<kSlicesMax, 2, 1, 2, 8, 3>;
using Narrow = Shape<kSlicesMax, 2, 1, 1, 8, 4>;

// The tiles of `in` that a group has still to go through: kStep from `first` on, up to the end of a slice, slice after
// slice.
class Steps {
 public:
  __device__ Steps(const Product& p, int slice, int slices_end) : p_(p), slice_(slice), slices_end_(slices_end) {
    BeginSlice();
  }
  __device__ int first() const { return first_; }
  __device__ int end() const { return end_; }  // first() where there are none
  __device__ void Next() {
    first_ = min(first_ + kStep, end_);
    if (first_ < end_ || slice_ >= slices_end_) return;
    ++slice_;
    BeginSlice();
  }

 private:
  __device__ void BeginSlice() {
    first_ = SliceBegin(p_, slice_);
    end_ = slice_ < slices_end_ ? SliceBegin(p_, slice_ + 1) : first_;
  }

  const Product& p_;
  int slice_, slices_end_, first_, end_;
};

// Lines of tiles, each a row of the matrix' tiles, of which a group's threads copy kStep tiles at a time, 16 bytes
// each.
template <int kTileBytes, int kLines, int kGroupThreads>
class Lines {
 public:
  static constexpr int kBytes = kLines * kStep * kTileBytes;  // of a stage

  // there: how many lines there are. Others are not copied, nor is what lies behind a slice.
  __device__ Lines(const void* from, int64_t line_bytes, int there, int thread)
      : tile_(thread % kOfLine / kPieces),
        there_(min(there, kLines) - thread / kOfLine),
        to_(thread * 16),
        from_(static_cast<const std::byte*>(from) + thread / kOfLine * line_bytes + thread % kOfLine * 16),
        stride_(kTogether * line_bytes) {}

  __device__ void Copy(const Steps& steps, std::byte* stage) const {
    if (steps.first() + tile_ >= steps.end()) return;
    const std::byte* from = from_ + int64_t{steps.first()} * kTileBytes;
#pragma unroll
    for (int n = 0; n * kTogether < kLines; ++n, from += stride_) {
      if (n * kTogether < there_) __pipeline_memcpy_async(stage + to_ + n * kGroupThreads * 16, from, 16);
    }
  }

 private:
  static constexpr int kPieces = kTileBytes / 16, kOfLine = kStep * kPieces, kTogether = kGroupThreads / kOfLine;
  static_assert(kGroupThreads % kOfLine == 0);

  int tile_, there_, to_;
  const std::byte* from_;
  int64_t stride_;
};

template <WeightForm kForm, class S>
class BlockProduct {
 public:
  __device__ BlockProduct(const Product& p, Shared& shared)
      : p_(p),
        unit_((static_cast<int>(blockIdx.y) - p.first_block) * S::kBlockUnits),
        tile_(static_cast<int>(blockIdx.x) * S::kBlockTiles),
        tiles_(static_cast<int>((p.ending.rows + kTileBatch - 1) / kTileBatch) - tile_),
        group_(WarpIndex() / S::kWarps),
        warp_(WarpIndex() % S::kWarps),
        stages_(shared.Take<std::byte>(kStagesBytes)),
        parts_(S::kSplit ? reinterpret_cast<float4*>(stages_) : shared.Take<float4>(kParts)) {}

  static constexpr int64_t SharedBytes() {
    return S::kSplit ? std::max(kStagesBytes, kPartsBytes) : kStagesBytes + kPartsBytes;
  }

  __device__ void Run() {
    const int thread = static_cast<int>(threadIdx.x) % (32 * S::kWarps);
    const WeightLines weight(static_cast<const Raw<kForm>*>(p_.weight) + int64_t{unit_} * p_.tiles_in * 32,
                             int64_t{p_.tiles_in} * sizeof(Raw<kForm>) * 32, p_.units - unit_, thread);
    const XLines x(p_.packed + int64_t{tile_} * p_.packed_tiles_in * kPackedWords,
                   int64_t{p_.packed_tiles_in} * kPackedWords * sizeof(uint32_t), tiles_, thread);
    const int first_slice = S::kSplit ? min(group_, p_.slices) : 0;
    const int slices_end = S::kSplit ? min(group_ + 1, p_.slices) : p_.slices;
    Steps copied(p_, first_slice, slices_end), weights_copied = copied;
    for (int stage = 0; stage < S::Ahead(); ++stage, weights_copied.Next()) weight.Copy(weights_copied, At(stage));
    WaitForLaunchBefore();
    LetNextLaunchBegin();
    for (int stage = 0; stage < S::Ahead(); ++stage, copied.Next()) {
      x.Copy(copied, At(stage) + WeightLines::kBytes);
      __pipeline_commit();
    }
    int to = S::Ahead(), from = 0;
    const auto next_stage = [&](int first, int end, uint4(&fragments)[kStep][S::kUnits]) {
      __pipeline_wait_prior(S::Ahead() - 1);
      if (S::kWarpgroups) FenceForTensorCores();
      __syncthreads();  // the stage has come, and all have left the one that is filled next
      weight.Copy(copied, At(to));
      x.Copy(copied, At(to) + WeightLines::kBytes);
      __pipeline_commit();
      copied.Next();
      Multiply(first, end, At(from), fragments);
      to = to + 1 == S::kStages ? 0 : to + 1;
      from = from + 1 == S::kStages ? 0 : from + 1;
    };
    uint4 even[kStep][S::kUnits], odd[kStep][S::kUnits];  // warpgroups read one while the other is filled
    const int rounds = S::kSplit ? 1 : p_.slices;
    for (int round = 0; round < rounds; ++round) {
      const int slice = S::kSplit ? group_ : round;
      const int end = slice < p_.slices ? SliceBegin(p_, slice + 1) : 0;
      int first = slice < p_.slices ? SliceBegin(p_, slice) : 0;
      // All groups go through as many steps, so that they meet at the barriers.
      const int tiles = S::kSplit ? CeilDiv(p_.tiles_in, p_.slices) : end - first;
      for (int done = 0; done < tiles; done += 2 * kStep, first += 2 * kStep) {
        next_stage(first, end, even);
        if (done + kStep < tiles) next_stage(first + kStep, end, odd);
      }
      if (S::kWarpgroups) WgmmaWait<0>();
      if (S::kSplit) __syncthreads();  // the sums meet where the stages are
      EndSlice(round > 0);
    }
    __pipeline_wait_prior(0);
    __syncthreads();
    Finish();
  }

 private:
  using WeightLines = Lines<32 * static_cast<int>(sizeof(Raw<kForm>)), S::kBlockUnits, 32 * S::kWarps>;
  using XLines = Lines<kPackedWords* static_cast<int>(sizeof(uint32_t)), S::kBlockTiles, 32 * S::kWarps>;
  static constexpr int kStageBytes = S::kGroups * (WeightLines::kBytes + XLines::kBytes);
  static constexpr int64_t kStagesBytes = int64_t{S::kStages} * kStageBytes;
  static constexpr int kParts = kThreads * S::kUnits * S::kTiles;  // sums, of four
  static constexpr int64_t kPartsBytes = Shared::Bytes<float4>(kParts);

  // The group's share of a stage: [unit, kStep, 32] of the weight, [tile, kStep, 32] of x.
  __device__ std::byte* At(int stage) const {
    return stages_ + (stage * S::kGroups + group_) * (WeightLines::kBytes + XLines::kBytes);
  }
  // Where a lane's sums of one unit and tile lie.
  __device__ int Part(int group, int warp, int o, int b) const {
    return (((group * S::kWarps + warp) * S::kUnits + o) * S::kTiles + b) * 32 + Lane();
  }

  // The stage's tiles of `in` from `first` on. Warpgroups are then still at work with `fragments`, but with no others.
  __device__ void Multiply(int first, int end, const std::byte* stage, uint4 (&fragments)[kStep][S::kUnits]) {
    if (first + kStep <= end) {
      MultiplyTiles<kStep>(first, stage, fragments);
    } else if (first < end) {
      static_assert(kStep == 2);
      MultiplyTiles<1>(first, stage, fragments);
    }
  }
  template <int kCount>
  __device__ void MultiplyTiles(int first, const std::byte* stage, uint4 (&fragments)[kStep][S::kUnits]) {
    const int unit = warp_ % S::kWarpsOut * S::kUnits, tile = warp_ / S::kWarpsOut * S::kTiles;
    const auto* weights = reinterpret_cast<const Raw<kForm>*>(stage) + unit * kStep * 32 + Lane();
    const auto* rows = reinterpret_cast<const uint32_t*>(stage + WeightLines::kBytes) + tile * kStep * kPackedWords;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
#pragma unroll
      for (int o = 0; o < S::kUnits; ++o) {
        const int there = min(unit_ + unit + o, p_.units - 1);  // whose multipliers may be read
        fragments[j][o] = Expand<kForm>(p_, there, first + j, weights[(o * kStep + j) * 32]);
      }
    }
    if constexpr (S::kWarpgroups) {
      WgmmaFence();
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const uint64_t tiles = DescribeTiles(rows + j * kPackedWords, kStep * kPackedWords * 4);
#pragma unroll
        for (int o = 0; o < S::kUnits; ++o) WgmmaBf16(sums_[o], fragments[j][o], tiles);
      }
      WgmmaCommit();
      WgmmaWait<1>();
    } else {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
#pragma unroll
        for (int b = 0; b < S::kTiles; ++b) {
          if (S::kSplit && tile + b >= tiles_) continue;  // few rows
          const uint32_t* row = rows + (b * kStep + j) * kPackedWords + Lane();
#pragma unroll
          for (int o = 0; o < S::kUnits; ++o) MmaBf16(sums_[o][b], fragments[j][o], {row[0], row[32]});
        }
      }
    }
  }

  // Leaves a slice's sums in shared memory, added to those of the slices before it where there are any.
  __device__ void EndSlice(bool add) {
#pragma unroll
    for (int o = 0; o < S::kUnits; ++o) {
#pragma unroll
      for (int b = 0; b < S::kTiles; ++b) {
        float(&sums)[4] = sums_[o][b];
        float4& part = parts_[Part(group_, warp_, o, b)];
        const float4 these = {sums[0], sums[1], sums[2], sums[3]};
        part = add ? Added(part, these) : these;
        sums[0] = sums[1] = sums[2] = sums[3] = 0;
      }
    }
  }

  // Adds the groups' sums and writes y, a warp several units of a tile at a time, so that what they meet is read at
  // once.
  __device__ void Finish() const {
    constexpr int kTogether = S::kUnits;
    for (int n = WarpIndex(); n < S::kWarps * S::kTiles; n += Warps()) {
      const int warp = n / S::kTiles, b = n % S::kTiles;
      const int unit = unit_ + warp % S::kWarpsOut * S::kUnits, tile = tile_ + warp / S::kWarpsOut * S::kTiles + b;
      FinishedTile finished[kTogether];
#pragma unroll
      for (int o = 0; o < kTogether; ++o) finished[o].Begin(p_, unit + o, tile);
#pragma unroll
      for (int o = 0; o < kTogether; ++o) {
        float4 sums = parts_[Part(0, warp, o, b)];
        for (int slice = 1; S::kSplit && slice < p_.slices; ++slice)
          sums = Added(sums, parts_[Part(slice, warp, o, b)]);
        finished[o].Write(p_, sums);
      }
    }
  }

  const Product& p_;
  int unit_, tile_;  // the block's first
  int tiles_;        // of x, from there on
  int group_, warp_;
  std::byte* stages_;
  float4* parts_;  // Part; one group: the totals of all slices
  float sums_[S::kUnits][S::kTiles][4] = {};
};

// blockIdx.x runs along the rows, so that blocks that run together read the same few weights.
template <WeightForm kForm, class S>
__global__ void __launch_bounds__(kThreads, S::kSplit ? 2 : 1) BlockKernel(const __grid_constant__ Products products) {
  if constexpr (!S::kWarpgroups || kHasWarpgroups) {
    Shared shared;
    BlockProduct<kForm, S>(products.Of(blockIdx.y), shared).Run();
  }
}

template <WeightForm kForm, class S>
void RunBlocks(Products& products, int64_t rows, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = CeilDiv<int64_t>(rows, kTileBatch * S::kBlockTiles),
                .blocks_y = products.Deal(S::kBlockUnits),
                .threads = kThreads,
                .shared = static_cast<size_t>(BlockProduct<kForm, S>::SharedBytes()),
                .overlaps = true,
                .name = "product_blocks"},
               BlockKernel<kForm, S>);
}

// How long S takes, with a block of Large's size as the unit: its share of the operations and the rate that the bytes
// from L2 leave it. `at_once`: blocks of a multiprocessor.
template <WeightForm kForm, class S>
double Time(Products& products, int64_t rows, const CudaCard& card, int at_once, double rate) {
  if (BlockProduct<kForm, S>::SharedBytes() > static_cast<int64_t>(card.shared_max)) return HUGE_VAL;
  const int64_t blocks = products.Deal(S::kBlockUnits) * CeilDiv<int64_t>(rows, kTileBatch * S::kBlockTiles);
  const double share = static_cast<double>(S::kBlockUnits * S::kBlockTiles) / (Large::kBlockUnits * Large::kBlockTiles);
  return static_cast<double>(CeilDiv<int64_t>(blocks, at_once * card.multiprocessors)) * at_once * share / rate;
}

}  // namespace

template <WeightForm kForm>
void RunBlockProducts(Products& products, int64_t rows, const CudaCard& card, CudaQueue& queue) {
  constexpr auto kSharedMin = static_cast<int64_t>(CudaCard().shared_max);
  static_assert(BlockProduct<kForm, Small>::SharedBytes() <= kSharedMin);
  static_assert(BlockProduct<kForm, Narrow>::SharedBytes() <= kSharedMin);
  const double large = Time<kForm, Large>(products, rows, card, 1, 1);
  const double middle = Time<kForm, Middle>(products, rows, card, 1, 0.75);
  const double small = Time<kForm, Small>(products, rows, card, 2, 0.45);
  if (large <= std::min(middle, small)) {
    if (card.warpgroups) return RunBlocks<kForm, LargeOfWarpgroups>(products, rows, queue);
    return RunBlocks<kForm, Large>(products, rows, queue);
  }
  if (middle <= small) return RunBlocks<kForm, Middle>(products, rows, queue);
  const int64_t blocks = products.Deal(Small::kBlockUnits) * CeilDiv<int64_t>(rows, kTileBatch * Small::kBlockTiles);
  if (blocks >= card.multiprocessors) return RunBlocks<kForm, Small>(products, rows, queue);
  RunBlocks<kForm, Narrow>(products, rows, queue);
}

template void RunBlockProducts<WeightForm::kBF16>(Products&, int64_t, const CudaCard&, CudaQueue&);
template void RunBlockProducts<WeightForm::kInt8>(Products&, int64_t, const CudaCard&, CudaQueue&);
template void RunBlockProducts<WeightForm::kInt4>(Products&, int64_t, const CudaCard&, CudaQueue&);

}  // namespace barista

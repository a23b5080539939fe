// Attention over the last tokens for chunks of prefills on the tensor cores, for rings of bf16: tiles of keys at
// absolute positions, and in them steps of 32 keys, so that a query's sums are the same however its prompt is cut.
//
// Keys and values are bf16 as they are, queries and weights are split (mma_cuda.cuh): q in three terms, exactly, a
// weight in two. So a row takes 10 window E operations of bf16 where float would take 4 window E. A block reads
// window + C keys and values for one or two query heads, 16 bytes at a time, through L2: 4 E bytes each from the ring,
// 8 E from the step's rows. In shared memory, all free of bank conflicts:
//   keys [key, E]: rows an odd multiple of 32 bytes long, so that four keys' 8 bytes lie in different banks;
//   values [E, key]: pairs of keys in the order in which a lane multiplies them, 16 keys' places exchanged by column;
//   queries: each lane's own operands.
// What of a tile of scores, weights and sums a lane has, it keeps in registers. Large heads fill a multiprocessor with
// the shared memory of one block: there two warps have each query's rows, and take every other step of keys.
#include "kernels/window_attention/window_tile_cuda.cuh"

namespace barista {
namespace {

// 16 queries of a head: rows r = lane / 4 and r + 8 in this lane, as MmaBf16 has them.
template <int kTiles>
struct Queries {
  float sums[2 * kTiles][4] = {};
  float largest[2] = {-kInfinity, -kInfinity}, total[2] = {};  // total: of this lane's keys
};

// Leaves what a query's second warp has where its queries were, and adds it to what the first has.
template <int kTiles, int kHeads>
__device__ void Join(const WindowTile<kTiles, kHeads>& tile, Queries<kTiles>& queries) {
  static_assert(WindowTile<kTiles, kHeads>::kQuery * 4 >= (8 * kTiles + 4) * 32);
  float* left = reinterpret_cast<float*>(tile.query - Lane()) + Lane();  // 32 apart
  __syncthreads();
  if (WarpIndex() >= WindowTile<kTiles, kHeads>::kQueryWarps) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      left[i * 32] = queries.largest[i];
      left[(2 + i) * 32] = queries.total[i];
    }
#pragma unroll
    for (int j = 0; j < 2 * kTiles; ++j) {
#pragma unroll
      for (int n = 0; n < 4; ++n) left[(4 + 4 * j + n) * 32] = queries.sums[j][n];
    }
  }
  __syncthreads();
  if (WarpIndex() >= WindowTile<kTiles, kHeads>::kQueryWarps) return;
  float mine[2], others[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float largest = left[i * 32], next = fmaxf(queries.largest[i], largest);
    mine[i] = Weight(queries.largest[i], next);
    others[i] = Weight(largest, next);
    queries.total[i] = queries.total[i] * mine[i] + left[(2 + i) * 32] * others[i];
  }
#pragma unroll
  for (int j = 0; j < 2 * kTiles; ++j) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      queries.sums[j][n] = queries.sums[j][n] * mine[n / 2] + left[(4 + 4 * j + n) * 32] * others[n / 2];
    }
  }
}

template <int kTiles, int kHeads>
__device__ void LoadQueries(const WindowTile<kTiles, kHeads>& tile, const WindowView<BFloat16>& a, int64_t row,
                            int rows, int h, bool wide) {
  for (int i = 0; i < kTiles; ++i) {
    const int e = 16 * i + Lane() % 4 * 4;
    uint32_t terms[2][2][kTerms];  // [row, pair]
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int t = Lane() / 4 + 8 * r;
      float4 x = {};
      if (t < rows && e < a.E) {
        const float* from = a.q.row(row + t) + h * a.E + e;
        const auto at = [&](int j) { return e + j < a.E ? from[j] : 0.0f; };
        x = wide ? *reinterpret_cast<const float4*>(from) : float4{at(0), at(1), at(2), at(3)};
      }
      SplitBf16(x.x, x.y, terms[r][0]);
      SplitBf16(x.z, x.w, terms[r][1]);
    }
#pragma unroll
    for (int n = 0; n < kTerms; ++n) {
      tile.query[(i * kTerms + n) * 32] = {terms[0][0][n], terms[1][0][n], terms[0][1][n], terms[1][1][n]};
    }
  }
}

// score[j] = q k for the keys k0 + 8 j onwards.
template <int kTiles, int kHeads>
__device__ void Scores(const WindowTile<kTiles, kHeads>& tile, int k0, float (&score)[kKeys / 8][4]) {
  constexpr int kStride = WindowTile<kTiles, kHeads>::kKeyStride;
  const uint32_t* keys = tile.keys + (k0 + Lane() / 4) * kStride + Lane() % 4 * 2;
  float small[kKeys / 8][4] = {};
#pragma unroll 1
  for (int i = 0; i < kTiles; ++i) {
    uint4 q[kTerms];
#pragma unroll
    for (int n = 0; n < kTerms; ++n) q[n] = tile.query[(i * kTerms + n) * 32];
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
      const uint2 k[1] = {*reinterpret_cast<const uint2*>(keys + 8 * j * kStride + 8 * i)};
      MmaTerms(score[j], small[j], q, k);
    }
  }
#pragma unroll
  for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
    for (int n = 0; n < 4; ++n) score[j][n] += small[j][n];
  }
}

// Scores become weights under the running maximum. t: this lane's first query, counted from the first key on.
template <int kTiles>
__device__ void Softmax(const WindowView<BFloat16>& a, Queries<kTiles>& queries, int t, float (&score)[kKeys / 8][4],
                        float (&rescale)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float next = queries.largest[i];
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int n = 2 * i; n < 2 * i + 2; ++n) {
        const int back = t + 8 * i - (8 * j + Lane() % 4 * 2 + n % 2);
        score[j][n] = back >= 0 && back < a.window ? a.Score(score[j][n]) : -kInfinity;
        next = fmaxf(next, score[j][n]);
      }
    }
    for (int flip = 1; flip <= 2; flip *= 2) next = fmaxf(next, __shfl_xor_sync(kAllLanes, next, flip));
    float added = 0;
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int n = 2 * i; n < 2 * i + 2; ++n) added += score[j][n] = Weight(score[j][n], next);
    }
    rescale[i] = Weight(queries.largest[i], next);
    queries.total[i] = queries.total[i] * rescale[i] + added;
    queries.largest[i] = next;
  }
}

// sums = sums rescale + weights times values. A step's products are summed by themselves, so that the long sum is
// rounded, not cut.
template <int kTiles, int kHeads>
__device__ void AddValues(const WindowTile<kTiles, kHeads>& tile, Queries<kTiles>& queries, int k0,
                          const float (&weight)[kKeys / 8][4], const float (&rescale)[2]) {
  uint4 terms[kKeys / 16][kWeightTerms];
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    uint32_t pairs[4][kWeightTerms];
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      SplitBf16(weight[2 * k + n / 2][n % 2 * 2], weight[2 * k + n / 2][n % 2 * 2 + 1], pairs[n]);
    }
#pragma unroll
    for (int n = 0; n < kWeightTerms; ++n) terms[k][n] = {pairs[0][n], pairs[1][n], pairs[2][n], pairs[3][n]};
  }
#pragma unroll
  for (int j = 0; j < 2 * kTiles; ++j) {
    float large[4] = {}, small[4] = {};
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      const int at = tile.ValueAt(8 * j + Lane() / 4, k0 / 16 + k, Lane() % 4);
      const uint2 v[1] = {*reinterpret_cast<const uint2*>(tile.values + at)};
      MmaTerms(large, small, terms[k], v);
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) queries.sums[j][n] = queries.sums[j][n] * rescale[n / 2] + (large[n] + small[n]);
  }
}

// At once on a multiprocessor, where the registers suffice.
template <int kTiles, int kHeads>
constexpr int kBlocks = kTiles > 4 ? 1 : 4 / kHeads;

template <int kTiles, int kHeads>
__global__ void __launch_bounds__(32 * WindowTile<kTiles, kHeads>::kWarps, kBlocks<kTiles, kHeads>)
    WindowPrefillTilesKernel(DeviceStep step, WindowView<BFloat16> a, bool wide) {
  const Chunk chunk = step.chunks[blockIdx.x];
  const int parts = (a.share + kHeads - 1) / kHeads, g = blockIdx.y / parts;
  constexpr int kHalves = WindowTile<kTiles, kHeads>::kHalves, kQueryWarps = WindowTile<kTiles, kHeads>::kQueryWarps;
  const int warp = WarpIndex() % kQueryWarps, half = WarpIndex() / kQueryWarps;
  const int head = blockIdx.y % parts * kHeads + warp / kHeadWarps, h = g * a.share + head;
  const WindowPast past(a, step, chunk, g, wide);
  Shared shared;
  const WindowTile<kTiles, kHeads> tile(shared);
  const int t0 = warp % kHeadWarps * kWarpRows;  // this warp's queries
  const int rows = head < a.share ? min(chunk.rows - t0, kWarpRows) : 0;
  if (half == 0) LoadQueries(tile, a, chunk.row + t0, rows, h, wide);
  Queries<kTiles> queries;
  // Counted from `origin`: the first key that the chunk sees, and its first query.
  const int64_t first = a.First(chunk.position), origin = first / kC * kC;
  const int seen = static_cast<int>(first - origin), position = static_cast<int>(chunk.position - origin);
  const int row = Lane() / 4;
  for (int u0 = 0; u0 < position + chunk.rows; u0 += kC) {
    __syncthreads();
    Fill(tile, past, origin + u0, max(seen - u0, 0), min(position + chunk.rows - u0, kC), a.capacity, a.E);
    __syncthreads();
    if (rows <= 0) continue;
    const int t = position + t0 - u0;
#pragma unroll 1
    for (int k0 = half * kKeys; k0 < kC; k0 += kHalves * kKeys) {
      if (t - a.window + 1 >= k0 + kKeys || t + rows <= k0) continue;  // nobody sees these
      float score[kKeys / 8][4] = {}, rescale[2];
      Scores(tile, k0, score);
      Softmax(a, queries, t + row - k0, score, rescale);
      AddValues(tile, queries, k0, score, rescale);
    }
  }
  if constexpr (kHalves > 1) Join(tile, queries);
  if (half > 0) return;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float total = queries.total[i];
    for (int flip = 1; flip <= 2; flip *= 2) total += __shfl_xor_sync(kAllLanes, total, flip);
    const float share = 1.0f / total;
    if (row + 8 * i >= rows) continue;
#pragma unroll
    for (int j = 0; j < 2 * kTiles; ++j) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int e = 8 * j + Lane() % 4 * 2 + n;
        if (e < a.E) a.Write(chunk.row + t0 + row + 8 * i, h, e, queries.sums[j][2 * i + n] * share);
      }
    }
  }
}

bool Aligned(const Rows& rows) { return reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 && rows.stride % 4 == 0; }
bool Aligned(const SlotArray& array) {
  return reinterpret_cast<uintptr_t>(array.base) % 16 == 0 && array.slot_bytes % 16 == 0;
}

template <int kTiles, int kHeads>
void Prefill(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  const WindowView<BFloat16> a(args);
  const bool wide = a.E % kPiece == 0 && Aligned(args.q) && Aligned(args.k) && Aligned(args.v) && Aligned(args.keys) &&
                    Aligned(args.values);
  Launch(queue,
         {.blocks_x = step.chunk_count,
          .blocks_y = int64_t{a.kv_heads} * CeilDiv(a.share, kHeads),
          .threads = 32 * WindowTile<kTiles, kHeads>::kWarps,
          .shared = static_cast<size_t>(WindowTile<kTiles, kHeads>::Bytes()),
          .name = "window_prefill_tiles"},
         WindowPrefillTilesKernel<kTiles, kHeads>, step, a, wide);
}

// Heads of a group share a block where its queries then still fit any card's shared memory.
template <int kTiles>
void PrefillHeads(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  constexpr int64_t kSharedOfAnyCard = 99 << 10;
  if constexpr (WindowTile<kTiles, 2>::Bytes() <= kSharedOfAnyCard) {
    if (args.heads > args.kv_heads) return Prefill<kTiles, 2>(args, step, queue);
  }
  Prefill<kTiles, 1>(args, step, queue);
}

}  // namespace

void WindowPrefillTilesCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  if (args.head_dim <= 32) return PrefillHeads<2>(args, step, queue);
  if (args.head_dim <= 64) return PrefillHeads<4>(args, step, queue);
  if (args.head_dim <= 96) return PrefillHeads<6>(args, step, queue);
  if (args.head_dim <= 128) return PrefillHeads<8>(args, step, queue);
  PrefillHeads<16>(args, step, queue);
}

}  // namespace barista

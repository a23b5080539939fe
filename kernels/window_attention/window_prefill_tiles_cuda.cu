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
// What of a tile of scores, weights and sums a lane has, it keeps in registers.
#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/window_attention/window_attention_cuda.cuh"

namespace barista {
namespace {

constexpr int kC = static_cast<int>(kChunk);
constexpr int kWarpRows = 16;                // queries of a warp
constexpr int kHeadWarps = kC / kWarpRows;   // of a query head
constexpr int kKeys = 32;                    // exponentiated together
constexpr int kTerms = 3, kWeightTerms = 2;  // of a query, of a weight
constexpr int kValueStride = kC / 2;         // pairs of keys
constexpr int kPiece = 8;                    // elements of 16 bytes

// A block's shared memory. kTiles: head_dim in 16s, padded with zeros; kHeads: query heads of the block.
template <int kTiles, int kHeads>
struct Tile {
  static constexpr int kKeyStride = 8 * (kTiles | 1);  // pairs of elements
  static_assert(kTiles % 2 == 0, "pieces in fours");

  __device__ explicit Tile(Shared& shared)
      : keys(shared.Take<uint32_t>(kC * kKeyStride)),
        values(shared.Take<uint32_t>(16 * kTiles * kValueStride)),
        query(shared.Take<uint4>(kHeads * kHeadWarps * kQuery) + WarpIndex() * kQuery + Lane()) {}
  static constexpr int64_t Bytes() {
    return Shared::Bytes<uint32_t>(kC * kKeyStride) + Shared::Bytes<uint32_t>(16 * kTiles * kValueStride) +
           Shared::Bytes<uint4>(kHeads * kHeadWarps * kQuery);
  }

  // Where the value of column e and the keys 2 pair, 2 pair + 1 of a group of 16 lies: a lane multiplies the pairs i
  // and i + 4 together.
  __device__ static int ValueAt(int e, int group, int pair) {
    return e * kValueStride + 8 * (group ^ (e & 3) ^ (e >> 3 & 3)) + 2 * (pair % 4) + pair / 4;
  }

  static constexpr int kQuery = kTiles * kTerms * 32;
  uint32_t *keys, *values;
  uint4* query;  // this lane's, 32 apart
};

// Keys and values of a run, 8 elements at a time as they are in the ring.
struct Past {
  using Ring = BFloat16;

  __device__ Past(const WindowView<Ring>& view, const DeviceStep& step, const Chunk& chunk, int group, bool aligned)
      : a(view),
        slot(step.segments[chunk.segment].slot),
        g(group),
        begin(chunk.position - (chunk.row - chunk.run_row)),
        to_row(chunk.row - chunk.position),
        wide(aligned) {}

  // at: the row of the ring that has position u, if it has.
  __device__ uint4 Key(int64_t u, int64_t at, int e) const {
    return u < begin ? Stored(a.Keys(slot, g), at, e) : New(a.k, u, e);
  }
  __device__ uint4 Value(int64_t u, int64_t at, int e) const {
    return u < begin ? Stored(a.Values(slot, g), at, e) : New(a.v, u, e);
  }

 private:
  __device__ uint4 Stored(const Ring* ring, int64_t at, int e) const {
    const Ring* from = ring + at * a.E + e;
    if (wide) return *reinterpret_cast<const uint4*>(from);
    const auto bits = [&](int i) { return e + i < a.E ? uint32_t{from[i].bits} : 0u; };
    const auto pair = [&](int i) { return bits(i) | bits(i + 1) << 16; };
    return {pair(0), pair(2), pair(4), pair(6)};
  }
  __device__ uint4 New(const DeviceRows& rows, int64_t u, int e) const {
    const float* from = rows.row(u + to_row) + g * a.E + e;
    if (wide) {
      const float4 x = reinterpret_cast<const float4*>(from)[0], y = reinterpret_cast<const float4*>(from)[1];
      return {PackBf16(x.x, x.y), PackBf16(x.z, x.w), PackBf16(y.x, y.y), PackBf16(y.z, y.w)};
    }
    const auto at = [&](int i) { return e + i < a.E ? from[i] : 0.0f; };
    const auto pair = [&](int i) { return PackBf16(at(i), at(i + 1)); };
    return {pair(0), pair(2), pair(4), pair(6)};
  }

  const WindowView<Ring>& a;
  int32_t slot;
  int g;
  int64_t begin;   // position of the run's first row
  int64_t to_row;  // from a position
  bool wide;       // rows begin at multiples of 16 bytes
};

__device__ bool Finite(uint32_t pair) { return (pair & 0x7f80u) != 0x7f80u && (pair & 0x7f800000u) != 0x7f800000u; }

// A value that is not finite would reach queries that do not see it, as 0 times NaN: its key becomes NaN instead.
__device__ void MoveNanToKey(uint4& key, uint4& value) {
  if (Finite(value.x) && Finite(value.y) && Finite(value.z) && Finite(value.w)) return;
  key.x = 0x7fc07fc0u;
  value = {};
}

// Keys [begin, end) of the tile at position u0, zeros around them.
template <int kTiles, int kHeads>
__device__ void Fill(const Tile<kTiles, kHeads>& tile, const Past& past, int64_t u0, int begin, int end,
                     int64_t capacity, int E) {
  constexpr int kPieces = 16 * kTiles / kPiece;
  const int64_t first = (u0 + begin) % capacity;
#pragma unroll 1
  for (int n = threadIdx.x; n < kPieces * kC / 2; n += blockDim.x) {
    // A warp takes 4 pieces of 8 pairs of keys.
    const int piece = n % 4 + n / 32 % (kPieces / 4) * 4, pair = n / 4 % 8, group = n / 32 / (kPieces / 4);
    const int e = piece * kPiece;
    uint4 key[2] = {}, value[2] = {};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int u = 16 * group + 2 * pair + i;
      if (u >= begin && u < end && e < E) {
        const int64_t at = first + (u - begin);  // at most once around the ring
        key[i] = past.Key(u0 + u, at < capacity ? at : at - capacity, e);
        value[i] = past.Value(u0 + u, at < capacity ? at : at - capacity, e);
        MoveNanToKey(key[i], value[i]);
      }
      *reinterpret_cast<uint4*>(tile.keys + u * Tile<kTiles, kHeads>::kKeyStride + e / 2) = key[i];
    }
    const auto store = [&](int j, uint32_t x, uint32_t y) {
      tile.values[tile.ValueAt(e + j, group, pair)] = (x & 0xffffu) | y << 16;
      tile.values[tile.ValueAt(e + j + 1, group, pair)] = x >> 16 | (y & 0xffff0000u);
    };
    store(0, value[0].x, value[1].x);
    store(2, value[0].y, value[1].y);
    store(4, value[0].z, value[1].z);
    store(6, value[0].w, value[1].w);
  }
}

// 16 queries of a head: rows r = lane / 4 and r + 8 in this lane, as MmaBf16 has them.
template <int kTiles>
struct Queries {
  float sums[2 * kTiles][4] = {};
  float largest[2] = {-kInfinity, -kInfinity}, total[2] = {};  // total: of this lane's keys
};

template <int kTiles, int kHeads>
__device__ void LoadQueries(const Tile<kTiles, kHeads>& tile, const WindowView<BFloat16>& a, int64_t row, int rows,
                            int h, bool wide) {
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
__device__ void Scores(const Tile<kTiles, kHeads>& tile, int k0, float (&score)[kKeys / 8][4]) {
  constexpr int kStride = Tile<kTiles, kHeads>::kKeyStride;
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
__device__ void AddValues(const Tile<kTiles, kHeads>& tile, Queries<kTiles>& queries, int k0,
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
__global__ void __launch_bounds__(32 * kHeads * kHeadWarps, kBlocks<kTiles, kHeads>)
    WindowPrefillTilesKernel(DeviceStep step, WindowView<BFloat16> a, bool wide) {
  const Chunk chunk = step.chunks[blockIdx.x];
  const int parts = (a.share + kHeads - 1) / kHeads, g = blockIdx.y / parts;
  const int head = blockIdx.y % parts * kHeads + WarpIndex() / kHeadWarps, h = g * a.share + head;
  const Past past(a, step, chunk, g, wide);
  Shared shared;
  const Tile<kTiles, kHeads> tile(shared);
  const int t0 = WarpIndex() % kHeadWarps * kWarpRows;  // this warp's queries
  const int rows = head < a.share ? min(chunk.rows - t0, kWarpRows) : 0;
  LoadQueries(tile, a, chunk.row + t0, rows, h, wide);
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
    for (int k0 = 0; k0 < kC; k0 += kKeys) {
      if (t - a.window + 1 >= k0 + kKeys || t + rows <= k0) continue;  // nobody sees these
      float score[kKeys / 8][4] = {}, rescale[2];
      Scores(tile, k0, score);
      Softmax(a, queries, t + row - k0, score, rescale);
      AddValues(tile, queries, k0, score, rescale);
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float total = queries.total[i];
    for (int flip = 1; flip <= 2; flip *= 2) total += __shfl_xor_sync(kAllLanes, total, flip);
    if (row + 8 * i >= rows) continue;
#pragma unroll
    for (int j = 0; j < 2 * kTiles; ++j) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int e = 8 * j + Lane() % 4 * 2 + n;
        if (e < a.E) a.Write(chunk.row + t0 + row + 8 * i, h, e, queries.sums[j][2 * i + n], total);
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
          .threads = 32 * kHeads * kHeadWarps,
          .shared = static_cast<size_t>(Tile<kTiles, kHeads>::Bytes()),
          .name = "window_prefill_tiles"},
         WindowPrefillTilesKernel<kTiles, kHeads>, step, a, wide);
}

// Heads of a group share a block where its queries then still fit any card's shared memory.
template <int kTiles>
void PrefillHeads(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  constexpr int64_t kSharedOfAnyCard = 99 << 10;
  if constexpr (Tile<kTiles, 2>::Bytes() <= kSharedOfAnyCard) {
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

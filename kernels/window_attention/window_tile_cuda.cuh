// A tile of keys and values for attention on the tensor cores, in shared memory: its layout, and filling it from the
// ring and the step's rows.
#pragma once

#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/window_attention/window_attention_cuda.cuh"

namespace barista {

inline constexpr int kC = static_cast<int>(kChunk);
inline constexpr int kWarpRows = 16;                // queries of a warp
inline constexpr int kHeadWarps = kC / kWarpRows;   // of a query head
inline constexpr int kKeys = 32;                    // exponentiated together
inline constexpr int kTerms = 3, kWeightTerms = 2;  // of a query, of a weight
inline constexpr int kValueStride = kC / 2;         // pairs of keys
inline constexpr int kPiece = 8;                    // elements of 16 bytes

// A block's shared memory. kTiles: head_dim in 16s, padded with zeros; kHeads: query heads of the block.
template <int kTiles, int kHeads>
struct WindowTile {
  static constexpr int kHalves = kTiles > 8 ? 2 : 1;  // warps with the same queries
  static constexpr int kQueryWarps = kHeads * kHeadWarps, kWarps = kHalves * kQueryWarps;

  static constexpr int kKeyStride = 8 * (kTiles | 1);  // pairs of elements
  static_assert(kTiles % 2 == 0, "pieces in fours");

  __device__ explicit WindowTile(Shared& shared)
      : keys(shared.Take<uint32_t>(kC * kKeyStride)),
        values(shared.Take<uint32_t>(16 * kTiles * kValueStride)),
        query(shared.Take<uint4>(kQueryWarps * kQuery) + WarpIndex() % kQueryWarps * kQuery + Lane()) {}
  static constexpr int64_t Bytes() {
    return Shared::Bytes<uint32_t>(kC * kKeyStride) + Shared::Bytes<uint32_t>(16 * kTiles * kValueStride) +
           Shared::Bytes<uint4>(kQueryWarps * kQuery);
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
struct WindowPast {
  using Ring = BFloat16;

  __device__ WindowPast(const WindowView<Ring>& view, const DeviceStep& step, const Chunk& chunk, int group,
                        bool aligned)
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

__device__ inline bool Finite(uint32_t pair) {
  return (pair & 0x7f80u) != 0x7f80u && (pair & 0x7f800000u) != 0x7f800000u;
}

// A value that is not finite would reach queries that do not see it, as 0 times NaN: its key becomes NaN instead.
__device__ inline void MoveNanToKey(uint4& key, uint4& value) {
  if (Finite(value.x) && Finite(value.y) && Finite(value.z) && Finite(value.w)) return;
  key.x = 0x7fc07fc0u;
  value = {};
}

// Keys [begin, end) of the tile at position u0, zeros around them. A warp takes 4 pieces of 8 pairs of keys at a time,
// and the next while they are under way.
template <int kTiles, int kHeads>
__device__ void Fill(const WindowTile<kTiles, kHeads>& tile, const WindowPast& past, int64_t u0, int begin, int end,
                     int64_t capacity, int E) {
  constexpr int kPieces = 16 * kTiles / kPiece, kCount = kPieces * kC / 2;
  struct Place {
    __device__ explicit Place(int n)
        : e((n % 4 + n / 32 % (kPieces / 4) * 4) * kPiece), pair(n / 4 % 8), group(n / 32 / (kPieces / 4)) {}
    __device__ int u(int i) const { return 16 * group + 2 * pair + i; }
    int e, pair, group;
  };
  struct Pieces {
    uint4 key[2] = {}, value[2] = {};
  };
  const int64_t first = (u0 + begin) % capacity;
  const auto load = [&](int n) {
    const Place p(n);
    Pieces x;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int u = p.u(i);
      if (n < kCount && u >= begin && u < end && p.e < E) {
        const int64_t at = first + (u - begin);  // at most once around the ring
        x.key[i] = past.Key(u0 + u, at < capacity ? at : at - capacity, p.e);
        x.value[i] = past.Value(u0 + u, at < capacity ? at : at - capacity, p.e);
      }
    }
    return x;
  };
  const auto store = [&](int n, Pieces x) {
    if (n >= kCount) return;
    const Place p(n);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      MoveNanToKey(x.key[i], x.value[i]);
      *reinterpret_cast<uint4*>(tile.keys + p.u(i) * WindowTile<kTiles, kHeads>::kKeyStride + p.e / 2) = x.key[i];
    }
    const auto put = [&](int j, uint32_t a, uint32_t b) {
      tile.values[tile.ValueAt(p.e + j, p.group, p.pair)] = (a & 0xffffu) | b << 16;
      tile.values[tile.ValueAt(p.e + j + 1, p.group, p.pair)] = a >> 16 | (b & 0xffff0000u);
    };
    put(0, x.value[0].x, x.value[1].x);
    put(2, x.value[0].y, x.value[1].y);
    put(4, x.value[0].z, x.value[1].z);
    put(6, x.value[0].w, x.value[1].w);
  };
  const int step = static_cast<int>(blockDim.x);
#pragma unroll 1
  for (int n = static_cast<int>(threadIdx.x); n < kCount; n += 2 * step) {
    const Pieces one = load(n), other = load(n + step);
    store(n, one);
    store(n + step, other);
  }
}

}  // namespace barista

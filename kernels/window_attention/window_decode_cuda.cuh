// Attention over the ring of one token in a block: decode, replay and drafts.
//
// Bytes a token and kv head: the ring's keys and values, 2 window E elements, read once for all query heads of the
// group (up to four at a time) as one stream, and one row written. Operations: 4 share window E. Eight lanes read a
// key, 16 bytes each; then a thread owns 16 bytes of the columns and every groups-th value.
#pragma once

#include "kernels/cuda/decode_block.cuh"
#include "kernels/window_attention/window_attention_cuda.cuh"

namespace barista {

inline constexpr int kWindowKeys = 128;  // of a tile: scores that are exponentiated together
inline constexpr int kLanesOfAKey = 8;

// Shared memory of S query heads.
struct WindowScratch {
  WindowScratch() = default;
  // part: [kDecodeThreads, S, W], the caller's, free again between two parts of a kernel.
  __device__ WindowScratch(Shared& shared, int S, int E, float* sums)
      : q(shared.Take<float>(S * E)),
        score(shared.Take<float>(S * kWindowKeys)),
        part(sums),
        max(shared.Take<float>(S)),
        total(shared.Take<float>(S)),
        rescale(shared.Take<float>(S)) {}
  static int64_t SharedBytes(int S, int E) {
    return Shared::Bytes<float>(S * E) + Shared::Bytes<float>(S * kWindowKeys) + 3 * Shared::Bytes<float>(S);
  }

  float* q;                      // [S, E]
  float* score;                  // [S, kWindowKeys], later weights
  float* part;                   // [groups, S, E]
  float *max, *total, *rescale;  // [S]
};

// Rows of the ring that a chain's slot lacks, and the row of token t.
template <class R>
__device__ void FillRing(const WindowView<R>& a, const Segment& segment, int64_t row, int64_t t, int g) {
  R *keys = a.Keys(segment.slot, g), *values = a.Values(segment.slot, g);
  if (segment.from >= 0) {
    const R *from_keys = a.Keys(segment.from, g), *from_values = a.Values(segment.from, g);
    const int64_t count = min(segment.stale_end - segment.stale_begin, a.capacity) * a.E;
    for (int64_t n = threadIdx.x; n < count; n += kDecodeThreads) {
      const int64_t at = (segment.stale_begin + n / a.E) % a.capacity * a.E + n % a.E;
      keys[at] = from_keys[at];
      values[at] = from_values[at];
    }
    __syncthreads();
  }
  for (int e = threadIdx.x; e < a.E; e += kDecodeThreads) {
    StoreAs(a.k.row(row)[g * a.E + e], keys + t % a.capacity * a.E + e);
    StoreAs(a.v.row(row)[g * a.E + e], values + t % a.capacity * a.E + e);
  }
  __syncthreads();
}

// Scores of ring rows at, at + 1, ... (wrapping) for S query heads.
template <int W, int S, class R>
__device__ void WindowScores(const WindowView<R>& a, const R* keys, int64_t at, int count, const WindowScratch& x) {
  const int lane = Lane() % kLanesOfAKey;
  constexpr int kAtOnce = kDecodeThreads / kLanesOfAKey;
  for (int first = 0; first < count; first += kAtOnce) {
    const int i = first + threadIdx.x / kLanesOfAKey;
    const int64_t row = at + i < a.capacity ? at + i : at + i - a.capacity;
    float dot[S] = {};
    for (int e = lane * W; e < a.E && i < count; e += kLanesOfAKey * W) {
      float key[W];
      LoadWide<W>(keys + row * a.E + e, key);
#pragma unroll
      for (int s = 0; s < S; ++s) {
#pragma unroll
        for (int j = 0; j < W; ++j) dot[s] += key[j] * x.q[s * a.E + e + j];
      }
    }
#pragma unroll
    for (int s = 0; s < S; ++s) {
      for (int flip = kLanesOfAKey / 2; flip >= 1; flip /= 2) dot[s] += __shfl_xor_sync(kAllLanes, dot[s], flip);
      if (lane == 0 && i < count) x.score[s * kWindowKeys + i] = a.Score(dot[s]);
    }
  }
}

// Scores become weights under the running maximum; a warp a query head.
template <int S>
__device__ void WindowSoftmax(int count, const WindowScratch& x) {
  if (WarpIndex() >= S) return;
  float* score = x.score + WarpIndex() * kWindowKeys;
  const float old = x.max[WarpIndex()];
  float largest = old;
  for (int i = Lane(); i < count; i += 32) largest = fmaxf(largest, score[i]);
  largest = WarpReduce(largest, Largest());
  float total = 0;
  for (int i = Lane(); i < count; i += 32) total += score[i] = Weight(score[i], largest);
  total = WarpReduce(total, Sum());
  if (Lane() != 0) return;
  const float rescale = Weight(old, largest);
  x.rescale[WarpIndex()] = rescale;
  x.total[WarpIndex()] = x.total[WarpIndex()] * rescale + total;
  x.max[WarpIndex()] = largest;
}

// sums += weights times the values that this thread owns.
template <int W, int S, class R>
__device__ void AddValues(const WindowView<R>& a, const R* values, int64_t at, int count, const WindowScratch& x,
                          float (&sums)[S][W]) {
  const int columns = a.E / W, groups = kDecodeThreads / columns, group = threadIdx.x / columns;
  const int e = threadIdx.x % columns * W;
#pragma unroll
  for (int s = 0; s < S; ++s) {
#pragma unroll
    for (int j = 0; j < W; ++j) sums[s][j] *= x.rescale[s];
  }
#pragma unroll 4
  for (int i = group < groups ? group : count; i < count; i += groups) {
    float value[W];
    LoadWide<W>(values + (at + i < a.capacity ? at + i : at + i - a.capacity) * a.E + e, value);
#pragma unroll
    for (int s = 0; s < S; ++s) {
#pragma unroll
      for (int j = 0; j < W; ++j) sums[s][j] += x.score[s * kWindowKeys + i] * value[j];
    }
  }
}

// Query heads [first, first + S) of the group, for token t, whose key and value are in the ring.
template <int W, int S, class R>
__device__ void AttendWindow(const WindowView<R>& a, int32_t slot, int64_t row, int64_t t, int g, int first_head,
                             const WindowScratch& x) {
  const int heads = min(S, a.share - first_head), h = g * a.share + first_head;
  for (int n = threadIdx.x; n < S * a.E; n += kDecodeThreads)
    x.q[n] = n < heads * a.E ? a.q.row(row)[h * a.E + n] : 0.0f;
  if (threadIdx.x < S) {
    x.max[threadIdx.x] = -kInfinity;
    x.total[threadIdx.x] = 0;
  }
  __syncthreads();
  float sums[S][W] = {};
  const int64_t first = a.First(t);
  for (int64_t u = first; u <= t; u += kWindowKeys) {
    const int count = static_cast<int>(min(int64_t{kWindowKeys}, t + 1 - u));
    const int64_t at = u % a.capacity;
    WindowScores<W, S>(a, a.Keys(slot, g), at, count, x);
    __syncthreads();
    WindowSoftmax<S>(count, x);
    __syncthreads();
    AddValues<W, S>(a, a.Values(slot, g), at, count, x, sums);
    __syncthreads();
  }
  const int columns = a.E / W, groups = kDecodeThreads / columns, group = threadIdx.x / columns;
  if (group < groups) {
#pragma unroll
    for (int s = 0; s < S; ++s) {
      for (int j = 0; j < W; ++j) x.part[(group * S + s) * a.E + threadIdx.x % columns * W + j] = sums[s][j];
    }
  }
  __syncthreads();
  for (int n = threadIdx.x; n < heads * a.E; n += kDecodeThreads) {
    float sum = 0;
    for (int r = 0; r < groups; ++r) sum += x.part[r * S * a.E + n];
    a.Write(row, h + n / a.E, n % a.E, sum / x.total[n / a.E]);
  }
  __syncthreads();
}

}  // namespace barista

// Attention over the ring, token by token: decode, replay and drafts.
//
// Bytes a token and kv head: the ring's keys and values, 2 window E elements, read once for all query heads of the
// group (up to four at a time) as one stream, and one row written. Operations: 4 share window E. One block a (run, kv
// head): eight lanes read a key, 16 bytes each; then a thread owns 16 bytes of the columns and every groups-th value.
#include <algorithm>

#include "kernels/window_attention/window_attention_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;  // at least kCudaHeadDimMax
constexpr int kKeys = 128;     // of a tile: scores that are exponentiated together
constexpr int kLanesOfAKey = 8;

// W neighbouring elements, 16 bytes where W is not 1.
template <int W, class R>
__device__ void LoadWide(const R* from, float (&x)[W]) {
  if constexpr (W == 1) {
    x[0] = ToFloat(*from);
  } else {
    struct alignas(16) Wide {
      R of[W];
    };
    const Wide wide = *reinterpret_cast<const Wide*>(from);
#pragma unroll
    for (int i = 0; i < W; ++i) x[i] = ToFloat(wide.of[i]);
  }
}

struct Scratch {
  float* q;                      // [S, E]
  float* score;                  // [S, kKeys], later weights
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
    for (int64_t n = threadIdx.x; n < count; n += kThreads) {
      const int64_t at = (segment.stale_begin + n / a.E) % a.capacity * a.E + n % a.E;
      keys[at] = from_keys[at];
      values[at] = from_values[at];
    }
    __syncthreads();
  }
  for (int e = threadIdx.x; e < a.E; e += kThreads) {
    StoreAs(a.k.row(row)[g * a.E + e], keys + t % a.capacity * a.E + e);
    StoreAs(a.v.row(row)[g * a.E + e], values + t % a.capacity * a.E + e);
  }
  __syncthreads();
}

// Scores of ring rows at, at + 1, ... (wrapping) for S query heads.
template <int W, int S, class R>
__device__ void Scores(const WindowView<R>& a, const R* keys, int64_t at, int count, const Scratch& x) {
  const int lane = Lane() % kLanesOfAKey;
  constexpr int kAtOnce = kThreads / kLanesOfAKey;
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
      if (lane == 0 && i < count) x.score[s * kKeys + i] = a.Score(dot[s]);
    }
  }
}

// Scores become weights under the running maximum; a warp a query head.
template <int S>
__device__ void Softmax(int count, const Scratch& x) {
  if (WarpIndex() >= S) return;
  float* score = x.score + WarpIndex() * kKeys;
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
__device__ void AddValues(const WindowView<R>& a, const R* values, int64_t at, int count, const Scratch& x,
                          float (&sums)[S][W]) {
  const int columns = a.E / W, groups = kThreads / columns, group = threadIdx.x / columns;
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
      for (int j = 0; j < W; ++j) sums[s][j] += x.score[s * kKeys + i] * value[j];
    }
  }
}

// Query heads [first, first + S) of the group, for token t, whose key and value are in the ring.
template <int W, int S, class R>
__device__ void Attend(const WindowView<R>& a, int32_t slot, int64_t row, int64_t t, int g, int first_head,
                       const Scratch& x) {
  const int heads = min(S, a.share - first_head), h = g * a.share + first_head;
  for (int n = threadIdx.x; n < S * a.E; n += kThreads) x.q[n] = n < heads * a.E ? a.q.row(row)[h * a.E + n] : 0.0f;
  if (threadIdx.x < S) {
    x.max[threadIdx.x] = -kInfinity;
    x.total[threadIdx.x] = 0;
  }
  __syncthreads();
  float sums[S][W] = {};
  const int64_t first = a.First(t);
  for (int64_t u = first; u <= t; u += kKeys) {
    const int count = static_cast<int>(min(int64_t{kKeys}, t + 1 - u));
    const int64_t at = u % a.capacity;
    Scores<W, S>(a, a.Keys(slot, g), at, count, x);
    __syncthreads();
    Softmax<S>(count, x);
    __syncthreads();
    AddValues<W, S>(a, a.Values(slot, g), at, count, x, sums);
    __syncthreads();
  }
  const int columns = a.E / W, groups = kThreads / columns, group = threadIdx.x / columns;
  if (group < groups) {
#pragma unroll
    for (int s = 0; s < S; ++s) {
      for (int j = 0; j < W; ++j) x.part[(group * S + s) * a.E + threadIdx.x % columns * W + j] = sums[s][j];
    }
  }
  __syncthreads();
  for (int n = threadIdx.x; n < heads * a.E; n += kThreads) {
    float sum = 0;
    for (int r = 0; r < groups; ++r) sum += x.part[r * S * a.E + n];
    a.Write(row, h + n / a.E, n % a.E, sum, x.total[n / a.E]);
  }
  __syncthreads();
}

template <int W, int S, class R>
__global__ void __launch_bounds__(kThreads, 2) WindowDecodeKernel(DeviceStep step, WindowView<R> a) {
  const Run run = step.runs[blockIdx.x];
  const int g = blockIdx.y;
  Shared shared;
  Scratch x;
  x.q = shared.Take<float>(S * a.E);
  x.score = shared.Take<float>(S * kKeys);
  x.part = shared.Take<float>(kThreads * W * S);
  x.max = shared.Take<float>(S);
  x.total = shared.Take<float>(S);
  x.rescale = shared.Take<float>(S);
  for (int32_t i = 0; i < run.rows; ++i) {
    const Segment segment = step.segments[run.segment + (run.segments > 1 ? i : 0)];
    FillRing(a, segment, run.row + i, run.position + i, g);
    for (int first = 0; first < a.share; first += S) {
      Attend<W, S>(a, segment.slot, run.row + i, run.position + i, g, first, x);
    }
  }
}

template <int W, int S, class R>
void Decode(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  const WindowView<R> a(args);
  const int64_t shared = Shared::Bytes<float>(S * a.E) + Shared::Bytes<float>(S * kKeys) +
                         Shared::Bytes<float>(kThreads * W * S) + 3 * Shared::Bytes<float>(S);
  Launch(queue,
         {.blocks_x = step.decode_runs,
          .blocks_y = a.kv_heads,
          .threads = kThreads,
          .shared = static_cast<size_t>(shared),
          .name = "window_decode"},
         WindowDecodeKernel<W, S, R>, step, a);
}

}  // namespace

void WindowDecodeCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  WithRingType(args.keys.dtype, [&]<class R>(R) {
    constexpr int kWide = 16 / sizeof(R);
    if (args.head_dim % kWide != 0) return Decode<1, 1, R>(args, step, queue);  // rows at any address
    switch (std::min<int64_t>(args.heads / args.kv_heads, 3)) {
      case 1:
        return Decode<kWide, 1, R>(args, step, queue);
      case 2:
        return Decode<kWide, 2, R>(args, step, queue);
      default:
        return Decode<kWide, 4, R>(args, step, queue);
    }
  });
}

}  // namespace barista

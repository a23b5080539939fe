// Attention over the last tokens for chunks of prefills in float, for rings of f32 and f16
// (window_prefill_tiles_cuda.cu has those of bf16), against tiles of keys at absolute positions, so that a query's sums
// are the same however its prompt is cut.
//
// A chunk reads window + C keys and values, from the ring before its segment and from the step's rows after: 2 E
// elements each, through L2, once a query head. Operations a row: 4 window E.
#include <type_traits>

#include "kernels/cuda/tile_product.cuh"
#include "kernels/window_attention/window_attention_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;
constexpr int kC = static_cast<int>(kChunk);
constexpr int kRowStride = kC + 4;
static_assert(kThreads / 32 * kTileRows == kC, "a warp a tile of queries");

// Where the keys of a run lie.
template <class R>
struct Past {
  __device__ Past(const WindowView<R>& view, const DeviceStep& step, const Chunk& chunk, int g)
      : a(view), run_row(chunk.run_row), begin(chunk.position - (chunk.row - chunk.run_row)), column(g * view.E) {
    const int32_t slot = step.segments[chunk.segment].slot;
    keys = a.Keys(slot, g);
    values = a.Values(slot, g);
  }
  __device__ float Key(int64_t u, int e) const { return At(a.k, keys, u, e); }
  __device__ float Value(int64_t u, int e) const { return At(a.v, values, u, e); }

 private:
  __device__ float At(const DeviceRows& rows, const R* ring, int64_t u, int e) const {
    return u < begin ? ToFloat(ring[u % a.capacity * a.E + e])
                     : Rounded<R>(rows.row(run_row + (u - begin))[column + e]);
  }

  const WindowView<R>& a;
  const R *keys, *values;
  int64_t run_row;
  int64_t begin;  // position of the run's first row
  int column;
};

template <class R>
__global__ void __launch_bounds__(kThreads) WindowPrefillKernel(DeviceStep step, WindowView<R> a) {
  const Chunk chunk = step.chunks[blockIdx.x];
  const int h = blockIdx.y, E = a.E;
  const Past<R> past(a, step, chunk, h / a.share);
  Shared shared;
  float* query = shared.Take<float>(E * kRowStride);    // [E, row]
  float* key = shared.Take<float>(E * (kC + 1));        // [E, key]
  float* weight = shared.Take<float>(kC * kRowStride);  // [key, row]
  float* sums = shared.Take<float>(kC * E);             // [row, E]
  for (int n = threadIdx.x; n < kC * E; n += kThreads) {
    const int t = n / E, e = n % E;
    query[e * kRowStride + t] = t < chunk.rows ? a.q.row(chunk.row + t)[h * E + e] : 0.0f;
    sums[n] = 0;
  }
  const int t0 = WarpIndex() * kTileRows;  // this warp's queries
  float largest[kTileRows], total[kTileRows];
#pragma unroll
  for (int j = 0; j < kTileRows; ++j) largest[j] = -kInfinity, total[j] = 0;
  const int64_t first = a.First(chunk.position), last = chunk.position + chunk.rows - 1;
  for (int64_t u0 = first / kC * kC; u0 <= last; u0 += kC) {
    const int begin = static_cast<int>(max(first - u0, int64_t{0}));
    const int end = static_cast<int>(min(last + 1 - u0, int64_t{kC}));
    __syncthreads();
    for (int n = threadIdx.x; n < kC * E; n += kThreads) {
      const int u = n / E, e = n % E;
      key[e * (kC + 1) + u] = u >= begin && u < end ? past.Key(u0 + u, e) : 0.0f;
    }
    __syncthreads();
    float score[2][kTileRows] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      AddProducts(score[half], query + t0, kRowStride, 0, E,
                  [&](int e) { return key[e * (kC + 1) + half * 32 + Lane()]; });
    }
    float rescale[kTileRows];
#pragma unroll
    for (int j = 0; j < kTileRows; ++j) {
      const int64_t t = chunk.position + t0 + j;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t u = u0 + half * 32 + Lane();
        score[half][j] = u <= t && u >= a.First(t) && t <= last ? a.Score(score[half][j]) : -kInfinity;
      }
      const float next = fmaxf(largest[j], WarpReduce(fmaxf(score[0][j], score[1][j]), Largest()));
      float added = 0;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float w = Weight(score[half][j], next);
        weight[(half * 32 + Lane()) * kRowStride + t0 + j] = w;
        added += w;
      }
      rescale[j] = Weight(largest[j], next);
      total[j] = total[j] * rescale[j] + WarpReduce(added, Sum());
      largest[j] = next;
    }
    __syncwarp();
    for (int e = Lane(); e < E; e += 32) {
      float sum[kTileRows];
#pragma unroll
      for (int j = 0; j < kTileRows; ++j) sum[j] = sums[(t0 + j) * E + e] * rescale[j];
      AddProducts(sum, weight + t0, kRowStride, begin, end, [&](int u) { return past.Value(u0 + u, e); });
#pragma unroll
      for (int j = 0; j < kTileRows; ++j) sums[(t0 + j) * E + e] = sum[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kTileRows; ++j) {
    for (int e = Lane(); e < E && t0 + j < chunk.rows; e += 32) {
      a.Write(chunk.row + t0 + j, h, e, sums[(t0 + j) * E + e] / total[j]);
    }
  }
}

// The last rows of each prefill enter the ring, after all of its queries have read what they replace.
template <class R>
__global__ void FillRingsKernel(DeviceStep step, WindowView<R> a) {
  const int64_t row = blockIdx.x;
  const int32_t index = step.run_of_row[row];
  if (index < step.decode_runs) return;
  const Run run = step.runs[index];
  const int64_t i = row - run.row, at = (run.position + i) % a.capacity;
  if (i < run.rows - a.capacity) return;
  const int32_t slot = step.segments[run.segment].slot;
  for (int n = threadIdx.x; n < a.kv_heads * a.E; n += blockDim.x) {
    StoreAs(a.k.row(row)[n], a.Keys(slot, n / a.E) + at * a.E + n % a.E);
    StoreAs(a.v.row(row)[n], a.Values(slot, n / a.E) + at * a.E + n % a.E);
  }
}

template <class R>
void Prefill(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  const WindowView<R> a(args);
  const int64_t shared = Shared::Bytes<float>(a.E * kRowStride) + Shared::Bytes<float>(a.E * (kC + 1)) +
                         Shared::Bytes<float>(kC * kRowStride) + Shared::Bytes<float>(kC * a.E);
  Launch(queue,
         {.blocks_x = step.chunk_count,
          .blocks_y = int64_t{a.kv_heads} * a.share,
          .threads = kThreads,
          .shared = static_cast<size_t>(shared),
          .name = "window_prefill"},
         WindowPrefillKernel<R>, step, a);
}

}  // namespace

void WindowPrefillCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  WithRingType(args.keys.dtype, [&]<class R>(R) {
    if constexpr (std::is_same_v<R, BFloat16>) {
      WindowPrefillTilesCuda(args, step, queue);
    } else {
      Prefill<R>(args, step, queue);
    }
    if (step.prefill_runs == 0) return;
    Launch(queue, {.blocks_x = step.rows, .threads = kThreads, .name = "fill_rings"}, FillRingsKernel<R>, step,
           WindowView<R>(args));
  });
}

void WindowAttentionCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  WindowDecodeCuda(args, step, queue);
  WindowPrefillCuda(args, step, queue);
}

}  // namespace barista

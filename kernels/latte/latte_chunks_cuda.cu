// Latte attention over the chunks of prefills, in four kernels, so that all chunks are worked on at once and only the
// hand-over from chunk to chunk is walked in order. README.md has the derivation.
//
// Multiplications a chunk of C rows and kv head: C M E for the sums, in float; share (C M E + 3/4 C^2 (M + E)) for the
// outputs, on the tensor cores with both sides in two terms of bf16 (mma_cuda.cuh), three for one. The sums, which
// stay, would need three terms, six for one. Bytes: the chunk's rows, and M E floats of sums written, read and written
// again as the state before the chunk, and read by each query head: all of it in L2.
#include "kernels/latte/latte_cuda.cuh"
#include "kernels/matmul/mma_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;
constexpr int kC = static_cast<int>(kChunk);
// Of matrices with the chunk's rows beside each other: 16-byte pieces, few conflicts.
constexpr int kRowStride = kC + 4;
constexpr int kWeightStride = kC + 5;  // of those that are also read across
constexpr int kTerms = 2;
constexpr int kWarpRows = 32, kWarpsAcross = 4, kAcross = 4;  // a warp's rows; tiles of 8 columns: by turns, at once
static_assert(kThreads / 32 * kWarpRows == kC * kWarpsAcross);
constexpr float kMaxSpread = 60;  // how far a running maximum may move inside a chunk in its factor form

// What a chunk leaves for the others, [kv_heads, M] each, and [kv_heads, M, E].
struct ChunkSums {
  __device__ ChunkSums(float* workspace, const LatteView& a, int64_t chunk) {
    const int64_t heads = int64_t{a.kv_heads} * a.M;
    max = workspace + chunk * heads * (a.E + 4);
    alpha = max + heads;
    keep = alpha + heads;
    scale = keep + heads;
    vtilde = scale + heads;
  }
  float* max;     // the largest key, then the running maximum before the chunk
  float* alpha;   // sum of e^(key - largest), then alpha before the chunk
  float* keep;    // what the state before the chunk counts after it
  float* scale;   // what the chunk's sums count after it
  float* vtilde;  // sum of e^(key - largest) v, then vtilde before the chunk
};

__global__ void __launch_bounds__(kThreads) SumsKernel(DeviceStep step, LatteView a, float* workspace) {
  const Chunk chunk = step.chunks[blockIdx.x];
  const int g = blockIdx.y, padded = (a.M + kTileRows - 1) / kTileRows * kTileRows;
  ChunkSums sums(workspace, a, blockIdx.x);
  Shared shared;
  float* weight = shared.Take<float>(kC * padded);  // [row, latent]
  float* peak = shared.Take<float>(a.M);
  for (int n = threadIdx.x; n < chunk.rows * padded; n += kThreads) {
    weight[n] = n % padded < a.M ? a.Key(chunk.row + n / padded, g, n % padded) : -kInfinity;
  }
  __syncthreads();
  for (int m = threadIdx.x; m < a.M; m += kThreads) {
    float largest = -kInfinity;
    for (int s = 0; s < chunk.rows; ++s) largest = RunningMax(largest, weight[s * padded + m]);
    peak[m] = sums.max[g * a.M + m] = largest;
  }
  __syncthreads();
  for (int n = threadIdx.x; n < chunk.rows * padded; n += kThreads) {
    weight[n] = n % padded < a.M ? ExpDifference(weight[n], peak[n % padded]) : 0.0f;
  }
  __syncthreads();
  for (int m = threadIdx.x; m < a.M; m += kThreads) {
    float total = 0;
    for (int s = 0; s < chunk.rows; ++s) total += weight[s * padded + m];
    sums.alpha[g * a.M + m] = total;
  }
  ForTiles(a.M, a.E, [&](int m0, int e) {
    float sum[kTileRows] = {};
    AddProducts(sum, weight + m0, padded, 0, chunk.rows,
                [&](int s) { return e < a.E ? a.V(chunk.row + s, g)[e] : 0.0f; });
#pragma unroll
    for (int j = 0; j < kTileRows; ++j) {
      if (m0 + j < a.M && e < a.E) sums.vtilde[(int64_t{g} * a.M + m0 + j) * a.E + e] = sum[j];
    }
  });
}

// max and alpha from chunk to chunk: a thread a (run, kv head, latent).
__global__ void HandOverMaxKernel(DeviceStep step, LatteView a, LatteState state, float* workspace) {
  const Run run = step.runs[step.decode_runs + blockIdx.x];
  const int i = blockIdx.y * blockDim.x + threadIdx.x, g = i / a.M;
  if (i >= a.kv_heads * a.M) return;
  const int32_t slot = step.segments[run.segment].slot;
  float max = state.max.slot(slot)[i], alpha = state.alpha.slot(slot)[i];
  for (int c = run.first_chunk; c < run.first_chunk + run.chunks; ++c) {
    const ChunkSums sums(workspace, a, c);
    const Dither dither(step.chunks[c].position, g);
    const float peak = sums.max[i], added = sums.alpha[i], next = RunningMax(max, peak);
    sums.max[i] = max;
    sums.alpha[i] = alpha;
    const float keep = sums.keep[i] = ExpDifference(max, next);
    const float scale = sums.scale[i] = ExpDifference(peak, next);
    alpha = dither.Add(alpha * keep, added * scale, a.M * a.E + i % a.M);
    max = next;
  }
  state.max.slot(slot)[i] = max;
  state.alpha.slot(slot)[i] = alpha;
}

// vtilde likewise: a thread an element.
__global__ void HandOverVtildeKernel(DeviceStep step, LatteView a, LatteState state, float* workspace) {
  const Run run = step.runs[step.decode_runs + blockIdx.x];
  const int head = a.M * a.E, i = blockIdx.y * blockDim.x + threadIdx.x;
  if (i >= a.kv_heads * head) return;
  float& place = state.vtilde.slot(step.segments[run.segment].slot)[i];
  float vtilde = place;
  for (int c = run.first_chunk; c < run.first_chunk + run.chunks; ++c) {
    const ChunkSums sums(workspace, a, c);
    const Dither dither(step.chunks[c].position, i / head);
    const float added = sums.vtilde[i];
    sums.vtilde[i] = vtilde;
    vtilde = dither.Add(vtilde * sums.keep[i / a.E], added * sums.scale[i / a.E], i % head);
  }
  place = vtilde;
}

// Shared memory of a chunk's outputs for one query head.
struct Output {
  float* share;                 // [M, kRowStride] p / alpha, later what the state before the chunk counts, less `decay`
  float* weight;                // [M, kWeightStride] e^(key - top); 0 for moving latents
  float* product;               // [kC, kRowStride] of row s: what v_s counts in y_t, for each t
  float *decay, *top, *moving;  // [M]
  float *key, *max, *counts;    // [kC] of one moving latent
};

// A latent whose running maximum moves too far for the factor form: every pair of rows has its own exponential.
__device__ void AddMovingLatent(const LatteView& a, const ChunkSums& sums, const Chunk& chunk, int g, int h, int m,
                                const Output& out) {
  const int i = g * a.M + m;
  for (int t = threadIdx.x; t < chunk.rows; t += kThreads) out.key[t] = a.Key(chunk.row + t, g, m);
  __syncthreads();
  if (threadIdx.x == 0) {
    float max = sums.max[i], alpha = sums.alpha[i];
    for (int t = 0; t < chunk.rows; ++t) {
      const float next = RunningMax(max, out.key[t]);
      alpha = alpha * ExpDifference(max, next) + ExpDifference(out.key[t], next);
      out.max[t] = max = next;
      out.counts[t] = alpha;
    }
  }
  __syncthreads();
  for (int t = threadIdx.x; t < kC; t += kThreads) {
    const bool counts = t < chunk.rows && out.counts[t] != 0;
    const float share = counts ? a.P(chunk.row + t, h, m) / out.counts[t] : 0.0f;
    out.share[m * kRowStride + t] = counts ? share * ExpDifference(sums.max[i], out.max[t]) : 0.0f;
    out.counts[t] = share;
  }
  if (threadIdx.x == 0) out.decay[m] = 1;
  __syncthreads();
  for (int n = threadIdx.x; n < chunk.rows * chunk.rows; n += kThreads) {
    const int s = n / chunk.rows, t = n % chunk.rows;
    if (s <= t && out.counts[t] != 0) {
      out.product[s * kRowStride + t] += out.counts[t] * ExpDifference(out.key[s], out.max[t]);
    }
  }
  __syncthreads();
}

__device__ Output TakeOutput(const LatteView& a) {
  Shared shared;
  Output out;
  out.share = shared.Take<float>(a.M * kRowStride);
  out.weight = shared.Take<float>(a.M * kWeightStride);
  out.product = shared.Take<float>(kC * kRowStride);
  for (float** of_latents : {&out.decay, &out.top, &out.moving}) *of_latents = shared.Take<float>(a.M);
  for (float** of_rows : {&out.key, &out.max, &out.counts}) *of_rows = shared.Take<float>(kC);
  return out;
}

// share and weight of the latents in factor form.
__device__ void FillFactors(const LatteView& a, const ChunkSums& sums, const Chunk& chunk, int g, int h,
                            const Output& out) {
  for (int n = threadIdx.x; n < kC * a.M; n += kThreads) {
    const int s = n / a.M, m = n % a.M;
    out.weight[m * kWeightStride + s] = s < chunk.rows ? a.Key(chunk.row + s, g, m) : -kInfinity;
  }
  __syncthreads();
  for (int m = threadIdx.x; m < a.M; m += kThreads) {
    const float* key = out.weight + m * kWeightStride;
    const float before = sums.max[g * a.M + m], first = RunningMax(before, key[0]);
    float top = first;
    for (int s = 1; s < chunk.rows; ++s) top = RunningMax(top, key[s]);
    const bool still = top - first <= kMaxSpread;  // false for NaN and infinities too
    out.top[m] = top;
    out.moving[m] = still ? 0.0f : 1.0f;
    out.decay[m] = still ? ExpDifference(before, top) : 0.0f;
  }
  __syncthreads();
  for (int n = threadIdx.x; n < kC * a.M; n += kThreads) {
    const int m = n / kC, s = n % kC;
    float& weight = out.weight[m * kWeightStride + s];
    weight = out.moving[m] == 0 && s < chunk.rows ? ExpDifference(weight, out.top[m]) : 0.0f;
  }
  __syncthreads();
  for (int m = threadIdx.x; m < a.M; m += kThreads) {
    float alpha = sums.alpha[g * a.M + m] * out.decay[m];
    for (int t = 0; t < kC; ++t) out.share[m * kRowStride + t] = alpha += out.weight[m * kWeightStride + t];
  }
  __syncthreads();
  for (int n = threadIdx.x; n < kC * a.M; n += kThreads) {
    const int t = n / a.M, m = n % a.M;
    float& share = out.share[m * kRowStride + t];
    share = out.moving[m] == 0 && t < chunk.rows ? a.P(chunk.row + t, h, m) / share : 0.0f;
  }
  __syncthreads();
}

// The first of a warp's rows, and of its columns: then every (8 kWarpsAcross)th eight.
__device__ int WarpRow() { return WarpIndex() / kWarpsAcross * kWarpRows; }
__device__ int WarpColumn() { return WarpIndex() % kWarpsAcross * 8; }

// sums += left right over n < end, for the warp's rows and its columns from `first` on, below `columns`.
// left: shared memory [n, kRowStride]; right(n, column) for any n and any column of an eight that begins below
// `columns`.
template <class Right>
__device__ void AddTileProducts(float (&sums)[2][kAcross][4], const float* left, int end, int first, int columns,
                                const Right& right) {
  const int r = Lane() / 4, c = Lane() % 4 * 2;
#pragma unroll 1
  for (int n = c; n - c < end; n += 16) {
    uint4 a[2][kTerms];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int t = WarpRow() + 16 * i + r;
      const auto at = [&](int k, int row) { return k < end ? left[k * kRowStride + row] : 0.0f; };
      uint32_t x[kTerms], y[kTerms], z[kTerms], w[kTerms];
      SplitBf16(at(n, t), at(n + 1, t), x);
      SplitBf16(at(n, t + 8), at(n + 1, t + 8), y);
      SplitBf16(at(n + 8, t), at(n + 9, t), z);
      SplitBf16(at(n + 8, t + 8), at(n + 9, t + 8), w);
#pragma unroll
      for (int k = 0; k < kTerms; ++k) a[i][k] = {x[k], y[k], z[k], w[k]};
    }
#pragma unroll
    for (int j = 0; j < kAcross; ++j) {
      const int column = first + WarpColumn() + 8 * kWarpsAcross * j;
      if (column >= columns) continue;
      uint32_t x[kTerms], y[kTerms];
      SplitBf16(right(n, column + r), right(n + 1, column + r), x);
      SplitBf16(right(n + 8, column + r), right(n + 9, column + r), y);
      uint2 b[kTerms];
#pragma unroll
      for (int k = 0; k < kTerms; ++k) b[k] = {x[k], y[k]};
#pragma unroll
      for (int i = 0; i < 2; ++i) MmaTerms(sums[i][j], sums[i][j], a[i], b);  // two terms are no more exact apart
    }
  }
}

// Calls work(row, column, sum) for each of them.
template <class Work>
__device__ void ForSums(const float (&sums)[2][kAcross][4], int first, const Work& work) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < kAcross; ++j) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        work(WarpRow() + 16 * i + n / 2 * 8 + Lane() / 4,
             first + WarpColumn() + 8 * kWarpsAcross * j + Lane() % 4 * 2 + n % 2, sums[i][j][n]);
      }
    }
  }
}

__global__ void __launch_bounds__(kThreads) OutputKernel(DeviceStep step, LatteView a, float* workspace) {
  const Chunk chunk = step.chunks[blockIdx.x];
  const int h = blockIdx.y, g = h / a.share, seen = min(WarpRow() + kWarpRows, chunk.rows);
  const ChunkSums sums(workspace, a, blockIdx.x);
  const Output out = TakeOutput(a);
  FillFactors(a, sums, chunk, g, h, out);
  {
    float sum[2][kAcross][4] = {};
    AddTileProducts(sum, out.share, a.M, 0, seen,
                    [&](int m, int s) { return m < a.M ? out.weight[m * kWeightStride + s] : 0.0f; });
    ForSums(sum, 0, [&](int t, int s, float x) {
      if (s < kC) out.product[s * kRowStride + t] = s <= t ? x : 0.0f;
    });
  }
  __syncthreads();
  for (int m = 0; m < a.M; ++m) {
    if (out.moving[m] != 0) AddMovingLatent(a, sums, chunk, g, h, m, out);
  }
  if (WarpRow() >= chunk.rows) return;
  const float* vtilde = sums.vtilde + int64_t{g} * a.M * a.E;
  for (int first = 0; first < a.E; first += 8 * kWarpsAcross * kAcross) {
    float sum[2][kAcross][4] = {};
    AddTileProducts(sum, out.share, a.M, first, a.E,
                    [&](int m, int e) { return m < a.M && e < a.E ? out.decay[m] * vtilde[m * a.E + e] : 0.0f; });
    AddTileProducts(sum, out.product, seen, first, a.E,
                    [&](int s, int e) { return s < seen && e < a.E ? a.V(chunk.row + s, g)[e] : 0.0f; });
    ForSums(sum, first, [&](int t, int e, float x) {
      if (t < chunk.rows && e < a.E) a.Y(chunk.row + t, h)[e] = x;
    });
  }
}

int64_t OutputBytes(const LatteView& a) {
  return Shared::Bytes<float>(a.M * kRowStride) + Shared::Bytes<float>(a.M * kWeightStride) +
         Shared::Bytes<float>(kC * kRowStride) + 3 * Shared::Bytes<float>(a.M) + 3 * Shared::Bytes<float>(kC);
}

}  // namespace

void LatteChunksCuda(const LatteArgs& args, const DeviceStep& step, float* workspace, CudaQueue& queue) {
  const LatteView a(args, args.local);
  const LatteState state(args);
  const int64_t padded = RoundUp<int64_t>(a.M, kTileRows), heads = int64_t{a.kv_heads} * a.M;
  Launch(queue,
         {.blocks_x = step.chunk_count,
          .blocks_y = a.kv_heads,
          .threads = kThreads,
          .shared = static_cast<size_t>(Shared::Bytes<float>(kC * padded) + Shared::Bytes<float>(a.M)),
          .name = "latte_sums"},
         SumsKernel, step, a, workspace);
  Launch(queue,
         {.blocks_x = step.prefill_runs, .blocks_y = CeilDiv<int64_t>(heads, 64), .threads = 64, .name = "latte_max"},
         HandOverMaxKernel, step, a, state, workspace);
  Launch(queue,
         {.blocks_x = step.prefill_runs,
          .blocks_y = CeilDiv<int64_t>(heads * a.E, kThreads),
          .threads = kThreads,
          .name = "latte_vtilde"},
         HandOverVtildeKernel, step, a, state, workspace);
  Launch(queue,
         {.blocks_x = step.chunk_count,
          .blocks_y = int64_t{a.kv_heads} * a.share,
          .threads = kThreads,
          .shared = static_cast<size_t>(OutputBytes(a)),
          .name = "latte_output"},
         OutputKernel, step, a, workspace);
}

void LatteCuda(const LatteArgs& args, const DeviceStep& step, float* workspace, CudaQueue& queue) {
  LatteDecodeCuda(args, step, queue);
  LatteChunksCuda(args, step, workspace, queue);
}

}  // namespace barista

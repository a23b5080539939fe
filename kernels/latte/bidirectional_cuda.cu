// The encoder's form: a run is a whole sequence. First the means of values under each latent, then the outputs, which
// read them as one product a chunk. Bytes and operations as in latte_chunks_cuda.cu, without a state.
#include "kernels/latte/latte_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;
constexpr int kC = static_cast<int>(kChunk);
constexpr int kRowStride = kC + 4;

// [kv_heads, M, E], at the run's first chunk.
__device__ float* Means(float* workspace, const LatteView& a, const Run& run) {
  return workspace + int64_t{run.first_chunk} * a.kv_heads * a.M * (a.E + 4);
}

__global__ void __launch_bounds__(kThreads) MeansKernel(DeviceStep step, LatteView a, float* workspace) {
  const Run run = step.runs[step.decode_runs + blockIdx.x];
  const int g = blockIdx.y, padded = (a.M + kTileRows - 1) / kTileRows * kTileRows;
  float* means = Means(workspace, a, run) + int64_t{g} * a.M * a.E;
  Shared shared;
  float* weight = shared.Take<float>(kC * padded);  // [row, latent]
  float *peak = shared.Take<float>(a.M), *alpha = shared.Take<float>(a.M);
  for (int m = threadIdx.x; m < a.M; m += kThreads) {
    float largest = -kInfinity;
    for (int s = 0; s < run.rows; ++s) largest = RunningMax(largest, a.Key(run.row + s, g, m));
    peak[m] = largest;
    alpha[m] = 0;
  }
  __syncthreads();
  for (int first = 0; first < run.rows; first += kC) {
    const int rows = min(kC, run.rows - first);
    for (int n = threadIdx.x; n < rows * padded; n += kThreads) {
      const int m = n % padded;
      weight[n] = m < a.M ? ExpDifference(a.Key(run.row + first + n / padded, g, m), peak[m]) : 0.0f;
    }
    __syncthreads();
    for (int m = threadIdx.x; m < a.M; m += kThreads) {
      for (int s = 0; s < rows; ++s) alpha[m] += weight[s * padded + m];
    }
    ForTiles(a.M, a.E, [&](int m0, int e) {
      float sum[kTileRows] = {};
      AddProducts(sum, weight + m0, padded, 0, rows,
                  [&](int s) { return e < a.E ? a.V(run.row + first + s, g)[e] : 0.0f; });
#pragma unroll
      for (int j = 0; j < kTileRows; ++j) {
        if (m0 + j >= a.M || e >= a.E) continue;
        float& mean = means[(m0 + j) * a.E + e];
        mean = first == 0 ? sum[j] : mean + sum[j];
      }
    });
    __syncthreads();
  }
  for (int n = threadIdx.x; n < a.M * a.E; n += kThreads)
    means[n] = alpha[n / a.E] == 0 ? 0.0f : means[n] / alpha[n / a.E];
}

__global__ void __launch_bounds__(kThreads) MixMeansKernel(DeviceStep step, LatteView a, float* workspace) {
  const Chunk chunk = step.chunks[blockIdx.x];
  const int h = blockIdx.y;
  const float* means = Means(workspace, a, step.runs[step.run_of_row[chunk.row]]) + int64_t{h / a.share} * a.M * a.E;
  Shared shared;
  float* p = shared.Take<float>(a.M * kRowStride);  // [latent, row]
  for (int n = threadIdx.x; n < kC * a.M; n += kThreads) {
    const int t = n / a.M, m = n % a.M;
    p[m * kRowStride + t] = t < chunk.rows ? a.P(chunk.row + t, h, m) : 0.0f;
  }
  __syncthreads();
  ForTiles(chunk.rows, a.E, [&](int t0, int e) {
    float sum[kTileRows] = {};
    AddProducts(sum, p + t0, kRowStride, 0, a.M, [&](int m) { return e < a.E ? means[m * a.E + e] : 0.0f; });
#pragma unroll
    for (int j = 0; j < kTileRows; ++j) {
      if (t0 + j < chunk.rows && e < a.E) a.Y(chunk.row + t0 + j, h)[e] = sum[j];
    }
  });
}

}  // namespace

void BidirectionalLatteCuda(const BidirectionalLatteArgs& args, const DeviceStep& step, float* workspace,
                            CudaQueue& queue) {
  const LatteView a(args, 0);
  const int64_t padded = RoundUp<int64_t>(a.M, kTileRows);
  Launch(queue,
         {.blocks_x = step.prefill_runs,
          .blocks_y = a.kv_heads,
          .threads = kThreads,
          .shared = static_cast<size_t>(Shared::Bytes<float>(kC * padded) + 2 * Shared::Bytes<float>(a.M)),
          .name = "bidirectional_means"},
         MeansKernel, step, a, workspace);
  Launch(queue,
         {.blocks_x = step.chunk_count,
          .blocks_y = int64_t{a.kv_heads} * a.share,
          .threads = kThreads,
          .shared = static_cast<size_t>(Shared::Bytes<float>(a.M * kRowStride)),
          .name = "bidirectional_mix"},
         MixMeansKernel, step, a, workspace);
}

}  // namespace barista

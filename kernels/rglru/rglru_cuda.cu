// Decodes: a thread a sequence and channel. Bytes: three inputs and an output of 4, of the state 4, read and written.
//
// Prompts: h_t = keep_t h_{t-1} + add_t is a composition of such pairs, so all chunks are worked on at once, twice:
// first each gives the pair that it is as a whole; then each walks the pairs before it to the state it begins with, and
// its rows. Both times a warp takes 8 rows of 32 channels, and the block's 8 warps meet in shared memory. Bytes a row
// and channel: the inputs twice, the output once. The state after a chunk is always its pair's of the state before, so
// that a prompt cut between chunks has the same bits.
#include "kernels/activation/activation_cuda.cuh"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_rows.cuh"
#include "kernels/rglru/rglru.h"

namespace barista {
namespace {

constexpr int kDecodeThreads = 128;
constexpr int kWarps = 8, kChannels = 32;  // of a prompt's block
constexpr int kRows = static_cast<int>(kChunk) / kWarps;

// h -> keep h + add. A reset keeps nothing, not even what is no number.
struct Pair {
  __device__ float operator()(float h) const { return reset ? add : keep * h + add; }

  float keep, add;
  bool reset;
};

struct View {
  explicit View(const RglruArgs& a)
      : softplus_a(static_cast<const float*>(a.softplus_a)),
        D(a.x.cols),
        x(a.x),
        input_gate(a.input_gate),
        a_gate(a.a_gate),
        y(a.y),
        state(a.h) {}

  __device__ Pair Of(int64_t row, int64_t d, bool reset) const {
    const float input = Sigmoid(input_gate.row(row)[d]) * x.row(row)[d];
    if (reset) return {0, input, true};
    const float log_a = -8.0f * Sigmoid(a_gate.row(row)[d]) * softplus_a[d];
    return {expf(log_a), sqrtf(-expm1f(2.0f * log_a)) * input, false};
  }
  __device__ void Write(int64_t row, int64_t d, float h, const PackedRows& packed) const {
    y.row(row)[d] = h;
    Put(packed, row, d, h);
  }

  const float* softplus_a;
  int64_t D;
  DeviceRows x, input_gate, a_gate, y;
  DeviceSlots<float> state;
};

__global__ void DecodeKernel(DeviceStep step, View a, PackedRows packed) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const Run run = step.runs[blockIdx.y];
  const int64_t d = int64_t{blockIdx.x} * kDecodeThreads + threadIdx.x;
  if (run.rows == 0 || d >= a.D) return;
  float h = a.state.slot(step.segments[run.segment].slot)[d];
  for (int32_t i = 0; i < run.rows; ++i) {
    h = a.Of(run.row + i, d, run.position + i == 0)(h);
    a.Write(run.row + i, d, h, packed);
    if (run.segments > 1) a.state.slot(step.segments[run.segment + i].slot)[d] = h;
  }
  if (run.segments == 1) a.state.slot(step.segments[run.segment].slot)[d] = h;
}

// A block's rows of a chunk: a warp's in its registers, all warps' pairs in shared memory.
class ChunkRows {
 public:
  __device__ ChunkRows(const DeviceStep& step, const View& a, Shared& shared)
      : chunk(step.chunks[blockIdx.y]),
        run_index(step.run_of_row[chunk.row]),
        run(step.runs[run_index]),
        d(int64_t{blockIdx.x} * kChannels + Lane()),
        mine(d < a.D),
        pairs_(shared.Take<float2>(kWarps * kChannels)) {
    float keep = 1, add = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int row = WarpIndex() * kRows + i;
      of_[i] = {1, 0, false};
      if (mine && row < chunk.rows) of_[i] = a.Of(chunk.row + row, d, chunk.position + row == 0);
      keep = of_[i].reset ? 0 : keep * of_[i].keep;
      add = of_[i](add);
    }
    pairs_[WarpIndex() * kChannels + Lane()] = {keep, add};
  }

  // After a barrier: the pair of all warps before this one's `count`.
  __device__ float2 Before(int count) const {
    float2 all = {1, 0};
    for (int warp = 0; warp < count; ++warp) {
      const float2 next = pairs_[warp * kChannels + Lane()];
      all = {next.x * all.x, next.x * all.y + next.y};
    }
    return all;
  }
  __device__ const Pair& of(int i) const { return of_[i]; }

  // Of the workspace: the state before each prompt's first chunk as its add, then its chunks' pairs.
  __device__ float2* Pairs(float2* workspace, const DeviceStep& step, int64_t D) const {
    return workspace + (run.first_chunk + run_index - step.decode_runs) * D + d;
  }
  __device__ int index() const { return static_cast<int>(blockIdx.y) - run.first_chunk; }  // in its run

  const Chunk chunk;
  const int run_index;
  const Run run;
  const int64_t d;
  const bool mine;

 private:
  float2* pairs_;
  Pair of_[kRows];
};

__global__ void __launch_bounds__(32 * kWarps) PairsKernel(DeviceStep step, View a, float2* workspace) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  Shared shared;
  const ChunkRows rows(step, a, shared);
  __syncthreads();
  if (WarpIndex() != 0 || !rows.mine) return;
  float2* pairs = rows.Pairs(workspace, step, a.D);
  pairs[(rows.index() + 1) * a.D] = rows.Before(kWarps);
  if (rows.index() > 0) return;
  const float* state = a.state.slot(step.segments[rows.run.segment].slot);
  pairs[0] = {0, rows.run.position == 0 ? 0 : state[rows.d]};
}

__global__ void __launch_bounds__(32 * kWarps)
    RowsKernel(DeviceStep step, View a, PackedRows packed, float2* workspace) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  Shared shared;
  const ChunkRows rows(step, a, shared);
  float* begin = shared.Take<float>(kChannels);
  if (WarpIndex() == 0 && rows.mine) {
    const float2* pairs = rows.Pairs(workspace, step, a.D);
    float h = 0;
#pragma unroll 8
    for (int c = 0; c <= rows.index(); ++c) h = pairs[c * a.D].x * h + pairs[c * a.D].y;
    begin[Lane()] = h;
    if (rows.index() + 1 == rows.run.chunks) {
      const float2 whole = pairs[rows.run.chunks * a.D];
      a.state.slot(step.segments[rows.run.segment].slot)[rows.d] = whole.x * h + whole.y;
    }
  }
  __syncthreads();
  if (!rows.mine) return;
  const float2 before = rows.Before(WarpIndex());
  float h = before.x * begin[Lane()] + before.y;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int row = WarpIndex() * kRows + i;
    if (row >= rows.chunk.rows) return;
    h = rows.of(i)(h);
    a.Write(rows.chunk.row + row, rows.d, h, packed);
  }
}

}  // namespace

void RglruCuda(const RglruArgs& args, const DeviceStep& step, float* workspace, const PackedRows& packed,
               CudaQueue& queue) {
  const View a(args);
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(a.D, kDecodeThreads),
          .blocks_y = step.decode_runs,
          .threads = kDecodeThreads,
          .overlaps = true,
          .name = "rglru"},
         DecodeKernel, step, a, packed);
  LaunchShape chunks = {
      .blocks_x = CeilDiv<int64_t>(a.D, kChannels),
      .blocks_y = step.chunk_count,
      .threads = 32 * kWarps,
      .shared = static_cast<size_t>(Shared::Bytes<float2>(kWarps * kChannels) + Shared::Bytes<float>(kChannels)),
      .overlaps = true,
      .name = "rglru_chunks"};
  float2* pairs = reinterpret_cast<float2*>(workspace);
  Launch(queue, chunks, PairsKernel, step, a, pairs);
  Launch(queue, chunks, RowsKernel, step, a, packed, pairs);
}

}  // namespace barista

// Bytes a row and channel: three inputs and an output of 4; of the state 4, read and written once a run. The gates,
// some 60 operations, go over all threads of a block; the recurrence, one product and sum a row, is walked by one warp.
#include "kernels/activation/activation_cuda.cuh"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_rows.cuh"
#include "kernels/rglru/rglru.h"

namespace barista {
namespace {

constexpr int kChannels = 32;  // of a block, one a lane
constexpr int kRows = 64;      // whose gates are computed together

// h_t = keep * h_{t-1} + add. A reset keeps nothing, not even what is no number.
struct Gates {
  float keep, add;
  bool reset;
};

__device__ Gates GatesOf(float x, float input_gate, float a_gate, float softplus_a, bool reset) {
  const float input = Sigmoid(input_gate) * x;
  const float log_a = -8.0f * Sigmoid(a_gate) * softplus_a;
  if (reset) return {0, input, true};
  return {expf(log_a), sqrtf(-expm1f(2.0f * log_a)) * input, false};
}

__global__ void RglruKernel(DeviceStep step, const float* softplus_a, int64_t D, DeviceRows x, DeviceRows input_gate,
                            DeviceRows a_gate, DeviceRows y, PackedRows packed, DeviceSlots<float> state) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  Shared shared;
  Gates* gates = shared.Take<Gates>(kRows * kChannels);
  const Run run = step.runs[blockIdx.y];
  if (run.rows == 0) return;
  const int64_t d = int64_t{blockIdx.x} * kChannels + Lane();
  const bool mine = d < D;
  float h = 0;
  if (mine && WarpIndex() == 0) h = state.slot(step.segments[run.segment].slot)[d];
  for (int32_t first = 0; first < run.rows; first += kRows) {
    const int32_t rows = min(kRows, run.rows - first);
    for (int32_t i = WarpIndex(); i < rows && mine; i += Warps()) {
      const int64_t row = run.row + first + i;
      gates[i * kChannels + Lane()] = GatesOf(x.row(row)[d], input_gate.row(row)[d], a_gate.row(row)[d], softplus_a[d],
                                              run.position + first + i == 0);
    }
    __syncthreads();
    for (int32_t i = 0; i < rows && mine && WarpIndex() == 0; ++i) {
      const Gates g = gates[i * kChannels + Lane()];
      h = g.reset ? g.add : g.keep * h + g.add;
      y.row(run.row + first + i)[d] = h;
      Put(packed, run.row + first + i, d, h);
      if (run.segments > 1) state.slot(step.segments[run.segment + first + i].slot)[d] = h;
    }
    __syncthreads();
  }
  if (mine && WarpIndex() == 0 && run.segments == 1) state.slot(step.segments[run.segment].slot)[d] = h;
}

void LaunchRuns(const RglruArgs& a, const DeviceStep& step, int warps, const PackedRows& packed, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(a.x.cols, kChannels),
          .blocks_y = step.decode_runs + step.prefill_runs,
          .threads = 32 * warps,
          .shared = static_cast<size_t>(Shared::Bytes<Gates>(kRows * kChannels)),
          .overlaps = true,
          .name = "rglru"},
         RglruKernel, step, static_cast<const float*>(a.softplus_a), a.x.cols, DeviceRows(a.x),
         DeviceRows(a.input_gate), DeviceRows(a.a_gate), DeviceRows(a.y), packed, DeviceSlots<float>(a.h));
}

}  // namespace

void RglruCuda(const RglruArgs& a, const DeviceStep& step, const PackedRows& packed, CudaQueue& queue) {
  LaunchRuns(a, step, step.prefill_runs > 0 ? 8 : 1, packed, queue);
}

}  // namespace barista

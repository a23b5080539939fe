// Bytes a row and channel: the input (again for `width` rows, from L2), the output; of the state, width - 1 inputs a
// slot, read and written once. Outputs first, a thread an element; then the state, whose old inputs they read.
#include "kernels/conv1d/conv1d.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/launch.cuh"

namespace barista {
namespace {

constexpr int kThreads = 128;

// Input of the run's row i (from 0; before the run where negative): in the rows, or in the state its first slot began
// with.
struct Inputs {
  DeviceRows x;
  DeviceSlots<float> state;
  int64_t D, past;

  __device__ float At(const Run& run, int32_t slot, int64_t i, int64_t d) const {
    if (i >= 0) return x.row(run.row + i)[d];
    return state.slot(slot)[(run.position + i) % past * D + d];
  }
};

__global__ void Conv1dKernel(DeviceStep step, Inputs inputs, const float* weight, const float* bias, DeviceRows y) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t d = int64_t{blockIdx.x} * kThreads + threadIdx.x, row = blockIdx.y;
  const int32_t index = step.run_of_row[row];
  if (d >= inputs.D || index < 0) return;
  const Run run = step.runs[index];
  const int32_t slot = step.segments[run.segment].slot;
  const int64_t i = row - run.row, taps = min(inputs.past, run.position + i);
  float sum = bias[d] + weight[d] * inputs.At(run, slot, i, d);
  for (int64_t j = 1; j <= taps; ++j) sum += weight[j * inputs.D + d] * inputs.At(run, slot, i - j, d);
  y.row(row)[d] = sum;
}

// The last inputs before row `end` of the run become the state of `slot`; `first` is the run's first slot.
__device__ void Keep(const Inputs& inputs, const Run& run, int32_t first, int32_t slot, int64_t end, int64_t d) {
  float* state = inputs.state.slot(slot);
  for (int64_t i = end - inputs.past; i < end; ++i) {
    const int64_t t = run.position + i;
    if (t < 0 || (i < 0 && slot == first)) continue;
    state[t % inputs.past * inputs.D + d] = inputs.At(run, first, i, d);
  }
}

__global__ void Conv1dStateKernel(DeviceStep step, Inputs inputs) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t d = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (d >= inputs.D) return;
  const Run run = step.runs[blockIdx.y];
  const int32_t first = step.segments[run.segment].slot;
  // A chain's slots read what its first one still holds, which therefore comes last.
  for (int32_t i = run.segments - 1; i >= 1; --i)
    Keep(inputs, run, first, step.segments[run.segment + i].slot, i + 1, d);
  Keep(inputs, run, first, first, run.segments > 1 ? 1 : run.rows, d);
}

}  // namespace

void Conv1dCuda(const Conv1dArgs& a, const DeviceStep& step, CudaQueue& queue) {
  const int64_t blocks = CeilDiv<int64_t>(a.x.cols, kThreads);
  const Inputs inputs = {DeviceRows(a.x), DeviceSlots<float>(a.inputs), a.x.cols, a.width - 1};
  Launch(queue, {.blocks_x = blocks, .blocks_y = step.rows, .threads = kThreads, .overlaps = true, .name = "conv1d"},
         Conv1dKernel, step, inputs, static_cast<const float*>(a.weight), static_cast<const float*>(a.bias),
         DeviceRows(a.y));
  if (a.width == 1) return;
  Launch(queue,
         {.blocks_x = blocks,
          .blocks_y = step.decode_runs + step.prefill_runs,
          .threads = kThreads,
          .overlaps = true,
          .name = "conv1d_state"},
         Conv1dStateKernel, step, inputs);
}

}  // namespace barista

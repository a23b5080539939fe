// A step's draws become the next one's tokens on the device: a few words a row.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/sampling/sample_lists_cuda.cuh"
#include "kernels/sampling/sample_row_cuda.h"

namespace barista {
namespace {

constexpr int kThreads = 128;

__device__ bool Ends(const DeviceSampleRow& row, const DeviceSampleLists& lists, const DeviceSampleResult& result) {
  if (row.idle || result.finite == 0 || row.draws_left == 0) return true;
  const int32_t* ends = ListAt<int32_t>(lists, lists.ends) + row.ends_begin;
  for (int32_t i = 0; i < row.ends; ++i) {
    if (ends[i] == result.token) return true;
  }
  return false;
}

// The lists lie in memory that is the device's to write.
template <class T>
__device__ T& Writable(const T* list, int64_t i) {
  return const_cast<T*>(list)[i];
}

__global__ void AdvanceKernel(DeviceStep step, const DeviceSampleLists* lists, const DeviceSampleResult* results) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t r = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (r >= step.rows) return;
  DeviceSampleRow& row = Writable(ListAt<DeviceSampleRow>(*lists, lists->rows), r);
  Segment& segment = Writable(step.segments, r);
  Run& run = Writable(step.runs, r);
  if (Ends(row, *lists, results[r])) {
    row.idle = true;
    segment.slot = -1;
    segment.rows = run.rows = 0;
    Writable(step.run_of_row, r) = -1;
    return;
  }
  ++row.position;
  --row.draws_left;
  ++segment.position;
  ++run.position;
  Writable(step.tokens, r) = results[r].token;
  ++Writable(step.positions, r);
}

}  // namespace

void AdvanceStepCuda(const DeviceStep& step, const DeviceSampleLists* lists, const DeviceSampleResult* results,
                     CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(step.rows, kThreads), .threads = kThreads, .overlaps = true, .name = "advance"},
         AdvanceKernel, step, lists, results);
}

}  // namespace barista

// A step's draws become the next one's tokens on the device: a few words a row.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/sampling/sample_lists_cuda.cuh"
#include "kernels/sampling/sample_row_cuda.h"

namespace barista {
namespace {

constexpr int kRows = 4;  // of a block

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

// What was drawn is from now on penalised.
__device__ void Count(DeviceSampleRow& row, const DeviceSampleLists& lists, int32_t token) {
  TokenCount* counts = &Writable(ListAt<TokenCount>(lists, lists.counts), row.counts_begin);
  bool found = false;
  for (int32_t i = Lane(); i < row.counts; i += 32) {
    if (counts[i].id != token) continue;
    ++counts[i].in_output;
    found = true;
  }
  if (__any_sync(kAllLanes, found) || row.counts_room == 0 || Lane() != 0) return;
  counts[row.counts++] = {.id = token, .in_output = 1};
  --row.counts_room;
}

// A warp a row.
__global__ void AdvanceKernel(DeviceStep step, const DeviceSampleLists* lists, const DeviceSampleResult* results) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t r = int64_t{blockIdx.x} * kRows + WarpIndex();
  if (r >= step.rows) return;
  DeviceSampleRow& row = Writable(ListAt<DeviceSampleRow>(*lists, lists->rows), r);
  const bool ends = Ends(row, *lists, results[r]);
  const bool counts = !ends && (row.counts > 0 || row.counts_room > 0);
  __syncwarp();  // all have read what the first lane writes
  if (counts) Count(row, *lists, results[r].token);
  if (Lane() != 0) return;
  Segment& segment = Writable(step.segments, r);
  Run& run = Writable(step.runs, r);
  if (ends) {
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
         {.blocks_x = CeilDiv<int64_t>(step.rows, kRows), .threads = 32 * kRows, .overlaps = true, .name = "advance"},
         AdvanceKernel, step, lists, results);
}

}  // namespace barista

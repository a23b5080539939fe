// Copies: 4 bytes in and out an element. A block a row; one launch for any number of slots.
#include <algorithm>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/slot_rows/slot_rows.h"

namespace barista {
namespace {

constexpr int kThreads = 256;
constexpr int kSlotsALaunch = 256;

struct SlotList {
  int32_t of[kSlotsALaunch];
};

__global__ void KeepLastRowsKernel(DeviceStep step, DeviceRows x, int64_t D, DeviceSlots<float> to) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const Segment& s = step.segments[blockIdx.x];
  if (s.rows == 0) return;
  const float* from = x.row(s.row + s.rows - 1);
  for (int64_t d = threadIdx.x; d < D; d += kThreads) to.slot(s.slot)[d] = from[d];
}

__global__ void LoadSlotRowsKernel(const __grid_constant__ SlotList slots, DeviceSlots<float> from, int64_t D,
                                   DeviceRows x) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const float* slot = from.slot(slots.of[blockIdx.x]);
  for (int64_t d = threadIdx.x; d < D; d += kThreads) x.row(blockIdx.x)[d] = slot[d];
}

template <class T>
__global__ void FillKernel(T* to, int64_t count, T value) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += int64_t{gridDim.x} * kThreads) {
    to[i] = value;
  }
}

template <class T>
void Fill(void* to, size_t count, T value, CudaQueue& queue) {
  constexpr int64_t kBlocksMax = 4096;
  Launch(queue,
         {.blocks_x = std::min(CeilDiv<int64_t>(static_cast<int64_t>(count), kThreads), kBlocksMax),
          .threads = kThreads,
          .name = "fill"},
         FillKernel<T>, static_cast<T*>(to), static_cast<int64_t>(count), value);
}

}  // namespace

void KeepLastRowsCuda(const KeepLastRowsArgs& a, const DeviceStep& step, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = static_cast<int64_t>(a.segments.size()),
          .threads = kThreads,
          .overlaps = true,
          .name = "keep_last_rows"},
         KeepLastRowsKernel, step, DeviceRows(a.x), a.x.cols, DeviceSlots<float>(a.to));
}

void LoadSlotRowsCuda(const LoadSlotRowsArgs& a, CudaQueue& queue) {
  for (size_t first = 0; first < a.slots.size(); first += kSlotsALaunch) {
    const absl::Span<const int32_t> part = a.slots.subspan(first, kSlotsALaunch);
    SlotList list = {};
    std::copy(part.begin(), part.end(), list.of);
    const int64_t rows = static_cast<int64_t>(part.size());
    Launch(queue, {.blocks_x = rows, .threads = kThreads, .overlaps = true, .name = "load_slot_rows"},
           LoadSlotRowsKernel, list, DeviceSlots<float>(a.from), a.x.cols,
           DeviceRows(a.x.Slice(static_cast<int64_t>(first), rows)));
  }
}

void FillCuda(void* to, DType dtype, size_t count, double value, CudaQueue& queue) {
  const float x = static_cast<float>(value);
  switch (dtype) {
    case DType::kF64:
      return Fill(to, count, value, queue);
    case DType::kF32:
      return Fill(to, count, x, queue);
    case DType::kBF16:
      return Fill(to, count, ToBFloat16(x), queue);
    case DType::kF16:
      return Fill(to, count, ToFloat16(x), queue);
  }
}

}  // namespace barista

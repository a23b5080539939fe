// Rows of activations that move to and from a component of the slots' state, and the filling of device memory.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct DeviceStep;

// The last row of each segment's `rows` becomes the component of its slot.
struct KeepLastRowsArgs {
  Segments segments;
  Rows x;             // [R, D]
  SlotArray to = {};  // [D], the type of x
};

// Row i becomes the component of slots[i].
struct LoadSlotRowsArgs {
  absl::Span<const int32_t> slots;  // [R]
  SlotArray from = {};              // [D], the type of x
  Rows x;                           // [R, D], written
};

// Any type, on the calling thread.
void KeepLastRowsHost(const KeepLastRowsArgs& args);
void LoadSlotRowsHost(const LoadSlotRowsArgs& args);
// `count` elements of `dtype`; to is aligned to its elements.
void FillHost(void* to, DType dtype, size_t count, double value);

// float, in the queue's order; all pointers of the device but the span of slots, which is read before they return.
void KeepLastRowsCuda(const KeepLastRowsArgs& args, const DeviceStep& step, CudaQueue& queue);
void LoadSlotRowsCuda(const LoadSlotRowsArgs& args, CudaQueue& queue);
void FillCuda(void* to, DType dtype, size_t count, double value, CudaQueue& queue);

}  // namespace barista

// Causal depthwise convolution over time: y_t = bias + sum_j w[j] * x_{t-j}, inputs before position 0 are zero.
// State of a slot: the last width-1 inputs [width-1, D], row (position mod (width-1)): the input of that position.
#pragma once

#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct DeviceStep;

struct Conv1dArgs {
  Segments segments;
  int64_t width = 0;             // >= 1
  const void* weight = nullptr;  // [width, D], row j multiplies x_{t-j}; activation type
  const void* bias = nullptr;    // [D]
  Rows x;                        // [R, D]
  Rows y;                        // [R, D], not x
  SlotArray inputs;              // [width-1, D], activation type; updated
};

template <class T>
void Conv1dRef(const Conv1dArgs& args);
// float; columns [begin, end) of D for all segments, on the calling thread.
void Conv1dCpu(const Conv1dArgs& args, int64_t begin, int64_t end);
// float, in the queue's order; all pointers of the device. The segments are those of `step`.
void Conv1dCuda(const Conv1dArgs& args, const DeviceStep& step, CudaQueue& queue);

}  // namespace barista

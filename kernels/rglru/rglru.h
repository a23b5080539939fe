// RG-LRU (Griffin, arXiv 2402.19427), the recurrence that gives queries and keys their positions.
//   i = sigmoid(input_gate)  r = sigmoid(a_gate)  log_a = -8 r softplus(a_param)
//   h_t = e^log_a h_{t-1} + sqrt(-expm1(2 log_a)) i x_t;   position 0 is a reset: h_0 = i x_0
// State of a slot: h [D].
#pragma once

#include "kernels/cuda/packed_rows.h"
#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct DeviceStep;

struct RglruArgs {
  Segments segments;
  const void* softplus_a = nullptr;  // [D] softplus(a_param), activation type
  Rows x;                            // [R, D] the mixer's input
  Rows input_gate;                   // [R, D] before the sigmoid
  Rows a_gate;                       // [R, D] before the sigmoid
  Rows y;                            // [R, D] = h_t; may be x
  bool for_products = false;         // y is read by the next product and by nothing else
  SlotArray h;                       // [D]; updated
};

template <class T>
void RglruRef(const RglruArgs& args);
// float; columns [begin, end) of D for all segments, on the calling thread.
void RglruCpu(const RglruArgs& args, int64_t begin, int64_t end);
// float, in the queue's order; all pointers of the device. The segments are those of `step`. packed: y once more.
// workspace: RglruWorkspaceBytes(D) for each of the step's rows, used by prefills alone.
void RglruCuda(const RglruArgs& args, const DeviceStep& step, float* workspace, const PackedRows& packed,
               CudaQueue& queue);
// A row may be a chunk of its own, and a run's first.
constexpr int64_t RglruWorkspaceBytes(int64_t D) { return 2 * D * 2 * static_cast<int64_t>(sizeof(float)); }

}  // namespace barista

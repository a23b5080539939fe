// Rotary rotation of heads, halves paired (i, i + E/2), by the angle sign * position * theta^(-2i/E).
// RoPE turns local queries and keys by +t; VAPOR turns values by -s before they are accumulated and the mixed global
// part by +t after. Angles are computed and reduced in double: positions of millions stay exact.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct StepRows;

struct RotateArgs {
  absl::Span<const int64_t> positions;  // [R]
  int64_t head_dim = 0;                 // E, even
  double theta = 10000;
  int sign = 1;  // +1 or -1
  Rows x;        // [R, heads * E]
  Rows y;        // the same shape; may be x
};

template <class T>
void RotateRef(const RotateArgs& args);
void RotateCpu(const RotateArgs& args);  // float; all rows on the calling thread
// float, in the queue's order; all pointers of the device. angles: of all rows, by AnglesCuda, instead of positions and
// theta. rows: which ones (cuda/step_rows.h).
void RotateCuda(const RotateArgs& args, const float* angles, CudaQueue& queue, const StepRows& rows);

// The angles of each position, [R, head_dim] floats of the device: sines, then cosines.
void AnglesCuda(absl::Span<const int64_t> positions, int64_t head_dim, double theta, float* angles, CudaQueue& queue);

}  // namespace barista

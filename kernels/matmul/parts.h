// What every packed form of a linear layer asks of the matrices that it is made from.
#pragma once

#include "absl/status/status.h"
#include "kernels/matmul/matmul.h"

namespace barista {

// activated: an activation follows, so there is one part, or a gate and an up matrix of equal shape. Error:
// INVALID_ARGUMENT naming the part, and the shape or type that cannot be.
absl::Status CheckParts(LinearParts parts, bool activated);

// row [in] = the weights of output o.
void ReadOutput(const HostMatrix& m, int64_t o, float* row);

// The parts' element type, or f32, which holds all of them exactly, where they differ.
DType CommonType(LinearParts parts);

}  // namespace barista

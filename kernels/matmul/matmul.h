// Linear layers: y = x W^T + b for a weight W [out, in], packed once at load for the backend's inner loop.
//
// Bits: row r of y depends on row r of x and on W alone, never on how many rows are multiplied together or which thread
// computes them; the sum over `in` runs in one fixed order. So decode of one slot, of 256, and prefill agree bit for
// bit.
#pragma once

#include <memory>

#include "absl/types/span.h"
#include "kernels/activation/activation.h"
#include "kernels/dtype.h"
#include "kernels/view.h"

namespace barista {

// A weight as it lies in the checkpoint: row-major [out, in] ([in, out] where transposed), data possibly unaligned.
// bias: [out] or null.
struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t out = 0;
  int64_t in = 0;
  bool transposed = false;
  const void* bias = nullptr;
  DType bias_dtype = DType::kF32;

  // Of element [o, i] of W in data.
  int64_t Index(int64_t o, int64_t i) const { return transposed ? i * out + o : o * in + i; }
};

// A packed weight. Several host matrices with the same `in` may be stacked along `out` (q, k and latents of one layer
// share one product). Immutable; owned by the model; used from any thread.
//
// With an activation, which follows the product: one part gives y = act(x W^T + b); two of equal shape, gate and up,
// give y = act(x Wg^T + bg) * (x Wu^T + bu), and `out` is that of one of them.
class Linear {
 public:
  virtual ~Linear() = default;
  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  int64_t bytes() const { return bytes_; }  // memory held by the packed form

 protected:
  int64_t out_ = 0;
  int64_t in_ = 0;
  int64_t bytes_ = 0;
};

using LinearParts = absl::Span<const HostMatrix>;

}  // namespace barista

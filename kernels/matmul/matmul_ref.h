// Linear layers of the ref backend: weights as doubles in the checkpoint's order, plain loops.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/quantize.h"

namespace barista {

class RefLinear : public Linear {
 public:
  // Stacks the parts along `out`; quantised ones are held as what they stand for. Errors: INVALID_ARGUMENT without
  // parts or where their `in` differ.
  static absl::StatusOr<std::unique_ptr<Linear>> Create(LinearParts parts, std::optional<Activation> act,
                                                        Quantization quantization);

  // As LinearCall says.  x [R, in], y [R, out], both f64; y is not x.
  void Multiply(const Rows& x, const Rows& y, bool accumulate) const;

 private:
  std::optional<Activation> act_;
  int64_t rows_ = 0;            // of the weight: out, or twice that with a gate
  std::vector<double> weight_;  // [rows, in]
  std::vector<double> bias_;    // [rows], zero where a part has none
};

}  // namespace barista

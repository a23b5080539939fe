// Linear layers of the ref backend: weights as doubles in the checkpoint's order, plain loops.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/matmul/matmul.h"

namespace barista {

class RefLinear : public Linear {
 public:
  // Stacks the parts along `out`. Errors: INVALID_ARGUMENT without parts or where their `in` differ.
  static absl::StatusOr<std::unique_ptr<Linear>> Create(LinearParts parts);

  // y = x W^T + b, or y += where accumulate.  x [R, in], y [R, out], both f64; y is not x.
  void Multiply(const Rows& x, const Rows& y, bool accumulate) const;

 private:
  std::vector<double> weight_;  // [out, in]
  std::vector<double> bias_;    // [out], zero where a part has none
};

}  // namespace barista

#include "kernels/matmul/matmul_ref.h"

#include "absl/strings/str_cat.h"

namespace barista {

absl::StatusOr<std::unique_ptr<Linear>> RefLinear::Create(LinearParts parts) {
  if (parts.empty()) return absl::InvalidArgumentError("a linear layer needs at least one weight");
  auto linear = std::make_unique<RefLinear>();
  linear->in_ = parts[0].in;
  for (const HostMatrix& part : parts) {
    if (part.in != linear->in_) {
      return absl::InvalidArgumentError(
          absl::StrCat("stacked weights differ in their input width: ", part.in, " and ", linear->in_));
    }
    for (int64_t o = 0; o < part.out; ++o) {
      for (int64_t i = 0; i < part.in; ++i) {
        const int64_t at = part.transposed ? i * part.out + o : o * part.in + i;
        linear->weight_.push_back(LoadAsDouble(part.data, part.dtype, at));
      }
      linear->bias_.push_back(part.bias == nullptr ? 0 : LoadAsDouble(part.bias, part.bias_dtype, o));
    }
    linear->out_ += part.out;
  }
  linear->bytes_ = static_cast<int64_t>((linear->weight_.size() + linear->bias_.size()) * sizeof(double));
  return linear;
}

void RefLinear::Multiply(const Rows& x, const Rows& y, bool accumulate) const {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t o = 0; o < out_; ++o) {
      double sum = bias_[o];
      for (int64_t i = 0; i < in_; ++i) sum += weight_[o * in_ + i] * x.row<double>(r)[i];
      y.row<double>(r)[o] = accumulate ? y.row<double>(r)[o] + sum : sum;
    }
  }
}

}  // namespace barista

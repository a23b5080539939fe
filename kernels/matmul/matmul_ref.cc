#include "kernels/matmul/matmul_ref.h"

#include "absl/strings/str_cat.h"
#include "kernels/matmul/parts.h"

namespace barista {

absl::StatusOr<std::unique_ptr<Linear>> RefLinear::Create(LinearParts parts, std::optional<Activation> act,
                                                          Quantization quantization) {
  if (parts.empty()) return absl::InvalidArgumentError("a linear layer needs at least one weight");
  auto linear = std::make_unique<RefLinear>();
  linear->in_ = parts[0].in;
  linear->act_ = act;
  std::vector<float> row(linear->in_);
  for (const HostMatrix& part : parts) {
    if (part.in != linear->in_) {
      return absl::InvalidArgumentError(
          absl::StrCat("stacked weights differ in their input width: ", part.in, " and ", linear->in_));
    }
    for (int64_t o = 0; o < part.out; ++o) {
      ReadOutput(part, o, row.data());
      if (quantization == Quantization::kNone) {
        linear->weight_.insert(linear->weight_.end(), row.begin(), row.end());
      } else {
        const QuantizedRow quantized = QuantizeRow(row, quantization);
        for (int64_t i = 0; i < part.in; ++i) {
          linear->weight_.push_back(static_cast<double>(quantized.scale) * quantized.Integer(i));
        }
      }
      linear->bias_.push_back(part.bias == nullptr ? 0 : LoadAsDouble(part.bias, part.bias_dtype, o));
    }
    linear->rows_ += part.out;
  }
  linear->out_ = act && parts.size() == 2 ? parts[0].out : linear->rows_;
  linear->bytes_ = static_cast<int64_t>((linear->weight_.size() + linear->bias_.size()) * sizeof(double));
  return linear;
}

void RefLinear::Multiply(const Rows& x, const Rows& y, bool accumulate) const {
  std::vector<double> sums(rows_);
  for (int64_t r = 0; r < x.rows; ++r) {
    double* out = y.row<double>(r);
    for (int64_t o = 0; o < rows_; ++o) {
      sums[o] = bias_[o];
      for (int64_t i = 0; i < in_; ++i) sums[o] += weight_[o * in_ + i] * x.row<double>(r)[i];
    }
    if (act_) {
      const Rows product = {sums.data(), DType::kF64, 1, rows_, rows_};
      const bool gated = rows_ > out_;
      MlpActivationRef<double>(
          {*act_, gated ? product.Columns(0, out_) : Rows{}, product.Columns(gated ? out_ : 0, out_), y.Slice(r, 1)});
      continue;
    }
    for (int64_t o = 0; o < out_; ++o) out[o] = accumulate ? out[o] + sums[o] : sums[o];
  }
}

}  // namespace barista

#include "kernels/matmul/parts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

bool IsWeightType(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

}  // namespace

absl::Status CheckParts(LinearParts parts, bool activated) {
  if (parts.empty()) return absl::InvalidArgumentError("a linear layer needs at least one weight matrix");
  for (size_t i = 0; i < parts.size(); ++i) {
    const HostMatrix& m = parts[i];
    if (m.data == nullptr || m.in < 1 || m.out < 1 || m.in != parts[0].in) {
      return absl::InvalidArgumentError(absl::StrCat("weight part ", i, " is [", m.out, ", ", m.in,
                                                     "]; dimensions must be positive and inputs equal to the first's, ",
                                                     parts[0].in));
    }
    if (!IsWeightType(m.dtype)) {
      return absl::InvalidArgumentError(absl::StrCat("weight part ", i, " has element type ",
                                                     std::string(Name(m.dtype)), "; f32, f16 or bf16 is wanted"));
    }
  }
  if (activated && (parts.size() > 2 || parts[0].out != parts[parts.size() - 1].out)) {
    return absl::InvalidArgumentError(
        "an activation follows one weight matrix, or a gate and an up matrix of equal shape");
  }
  return absl::OkStatus();
}

void ReadOutput(const HostMatrix& m, int64_t o, float* row) {
  if (!m.transposed) {
    return ConvertTo(static_cast<const std::byte*>(m.data) + o * m.in * static_cast<int64_t>(SizeOf(m.dtype)), m.dtype,
                     m.in, row);
  }
  for (int64_t k = 0; k < m.in; ++k) row[k] = static_cast<float>(LoadAsDouble(m.data, m.dtype, m.Index(o, k)));
}

DType CommonType(LinearParts parts) {
  const bool equal =
      std::all_of(parts.begin(), parts.end(), [&](const HostMatrix& m) { return m.dtype == parts[0].dtype; });
  return equal ? parts[0].dtype : DType::kF32;
}

}  // namespace barista

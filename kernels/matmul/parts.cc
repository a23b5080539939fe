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

DType CommonType(LinearParts parts) {
  const bool equal =
      std::all_of(parts.begin(), parts.end(), [&](const HostMatrix& m) { return m.dtype == parts[0].dtype; });
  return equal ? parts[0].dtype : DType::kF32;
}

}  // namespace barista

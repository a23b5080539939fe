// Packing of weights at load.
#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/matmul/kernel_int.h"
#include "kernels/matmul/matmul_cpu.h"
#include "kernels/matmul/parts.h"

namespace barista {
namespace {

// Where element (k, o) of a panel lies in its packed form.
int64_t PackedIndex(WeightLayout layout, int64_t k, int64_t o) {
  if (layout == WeightLayout::kRows) return k * kPanel + o;
  return k / 32 * 1024 + o / 16 * 512 + k % 32 / 2 * 32 + o % 16 * 2 + k % 2;
}

template <class T>
T LoadElement(const HostMatrix& m, int64_t o, int64_t k) {
  T value;
  std::memcpy(&value, static_cast<const std::byte*>(m.data) + m.Index(o, k) * sizeof(T), sizeof(T));
  return value;
}

// Output `o` of the matrix into column `column` of a panel.
template <class T>
void PackOutput(const HostMatrix& m, int64_t o, WeightLayout layout, int64_t column, T* panel) {
  for (int64_t k = 0; k < m.in; ++k) panel[PackedIndex(layout, k, column)] = LoadElement<T>(m, o, k);
}

void PackOutputAsFloat(const HostMatrix& m, int64_t o, WeightLayout layout, int64_t column, float* panel) {
  for (int64_t k = 0; k < m.in; ++k) {
    panel[PackedIndex(layout, k, column)] = static_cast<float>(LoadAsDouble(m.data, m.dtype, m.Index(o, k)));
  }
}

// The same for a quantised output, of a panel that was zero; depth: of the panel.
void PackQuantized(const QuantizedRow& row, const IntPanel& layout, int64_t depth, int64_t column, std::byte* panel) {
  std::byte* weights = panel + layout.weights;
  int32_t sum = 0;
  for (int64_t k = 0; k < depth; ++k) {
    const bool inside = k < static_cast<int64_t>(row.q.size());
    const int64_t half = column / 16, quad = k % kIntStep / 4, place = column % 16 * 4 + k % 4;
    if (inside) sum += row.Integer(k);
    if (layout.int4) {
      const int value = inside ? row.q[k] + 8 : 8;
      weights[k / kIntStep * (kIntStepBytes / 2) + half * (kIntStepBytes / 4) + quad % 8 * 64 + place] |=
          static_cast<std::byte>(quad < 8 ? value : value << 4);
    } else if (inside) {
      weights[k / kIntStep * kIntStepBytes + half * (kIntStepBytes / 2) + quad * 64 + place] =
          static_cast<std::byte>(row.q[k]);
    }
  }
  for (size_t g = 0; g < row.multipliers.size(); ++g) {
    panel[kIntHeaderBytes + g * 16 + column % 16] |= static_cast<std::byte>(row.multipliers[g] << column / 16 * 4);
  }
  const int32_t start = -128 * sum;
  std::memcpy(panel + column * 4, &row.scale, sizeof(row.scale));
  std::memcpy(panel + kPanel * 4 + column * 4, &start, sizeof(start));
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuLinear>> CpuLinear::Create(LinearParts parts, std::optional<Activation> act,
                                                             Quantization quantization, CpuIsa isa, ThreadPool& pool) {
  if (absl::Status status = CheckParts(parts, act.has_value()); !status.ok()) return status;
  const DType dtype = CommonType(parts);
  const bool quantized = quantization != Quantization::kNone;
  if (quantized && parts[0].in > kIntInMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a quantised weight has ", parts[0].in, " inputs; the limit is ", kIntInMax));
  }
  auto linear = std::make_unique<CpuLinear>();
  linear->quantization_ = quantization;
  linear->kernel_ = quantized ? &SelectIntKernel(isa, quantization) : &SelectKernel(isa, dtype);
  linear->in_ = parts[0].in;
  linear->act_ = act;
  linear->gated_ = act.has_value() && parts.size() == 2;
  for (const HostMatrix& m : parts) linear->out_ += m.out;
  if (linear->gated_) linear->out_ = parts[0].out;
  linear->panel_bytes_ = quantized ? IntPanel(quantization, linear->depth()).bytes
                                   : linear->depth() * kPanel * static_cast<int64_t>(SizeOf(dtype));

  const int64_t panels = linear->panels();
  absl::StatusOr<Buffer> weights = AllocateHost(panels * linear->panel_bytes_, "packed weights");
  if (!weights.ok()) return weights.status();
  linear->weights_ = *std::move(weights);
  absl::StatusOr<Buffer> bias = AllocateHost(panels * kPanel * sizeof(float), "bias");
  if (!bias.ok()) return bias.status();
  linear->bias_ = *std::move(bias);
  linear->bytes_ = static_cast<int64_t>(linear->weights_.size() + linear->bias_.size());

  for (const HostMatrix& m : parts) linear->has_bias_ = linear->has_bias_ || m.bias != nullptr;
  pool.For(panels, [&](int64_t p, int) { linear->Pack(parts, dtype, p); });
  return linear;
}

void CpuLinear::Pack(LinearParts parts, DType dtype, int64_t panel) {
  std::byte* weights = weights_.data() + panel * panel_bytes_;
  float* bias = reinterpret_cast<float*>(bias_.data()) + panel * kPanel;
  const WeightLayout layout = kernel_->layout;
  const int64_t panel_begin = panel * panel_outputs(), panel_end = panel_begin + panel_outputs();
  std::vector<float> row(kernel_->layout == WeightLayout::kIntegers ? in_ : 0);
  int64_t first = 0;         // of the part, among all outputs
  int64_t first_column = 0;  // of the part, in every panel
  for (const HostMatrix& m : parts) {
    const int64_t begin = std::max(first, panel_begin), end = std::min(first + m.out, panel_end);
    for (int64_t o = begin; o < end; ++o) {
      const int64_t column = first_column + o - panel_begin;
      if (m.bias != nullptr) bias[column] = static_cast<float>(LoadAsDouble(m.bias, m.bias_dtype, o - first));
      if (kernel_->layout == WeightLayout::kIntegers) {
        ReadOutput(m, o - first, row.data());
        PackQuantized(QuantizeRow(row, quantization_), IntPanel(quantization_, depth()), depth(), column, weights);
      } else if (m.dtype != dtype) {
        PackOutputAsFloat(m, o - first, layout, column, reinterpret_cast<float*>(weights));
      } else if (dtype == DType::kF32) {
        PackOutput(m, o - first, layout, column, reinterpret_cast<uint32_t*>(weights));
      } else {
        PackOutput(m, o - first, layout, column, reinterpret_cast<uint16_t*>(weights));
      }
    }
    if (gated_) {
      first_column += kPanel / 2;
    } else {
      first += m.out;
    }
  }
}

}  // namespace barista

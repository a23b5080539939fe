// Weights of every kind for tests of products, and the products in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/quantize.h"
#include "tests/support/random_data.h"

namespace barista::test {

// How a checkpoint holds a weight, and what it is quantised to.
struct Kind {
  DType dtype = DType::kF32;
  Quantization quantization = Quantization::kNone;
};
inline constexpr Kind kKinds[] = {{DType::kF32},
                                  {DType::kF16},
                                  {DType::kBF16},
                                  {DType::kF32, Quantization::kInt8},
                                  {DType::kBF16, Quantization::kInt4}};

// A weight as a checkpoint holds it, at an odd address.
struct Weight {
  Weight(Random& random, int64_t out, int64_t in, Kind kind, bool transposed = false, bool bias = false)
      : bytes(out * in * SizeOf(kind.dtype) + 1) {
    const DType dtype = kind.dtype;
    std::vector<float> floats = random.Normal(out * in, 1 / std::sqrt(static_cast<float>(in)));
    if (bias) bias_values = random.Normal(out);
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t k = 0; k < in; ++k) {
        float& value = floats[o * in + k];
        const size_t at = transposed ? k * out + o : o * in + k;
        uint16_t bits = 0;
        if (dtype == DType::kF32) std::memcpy(&bytes[1 + at * 4], &value, 4);
        if (dtype == DType::kBF16) value = ToFloat(BFloat16{bits = ToBFloat16(value).bits});
        if (dtype == DType::kF16) value = ToFloat(Float16{bits = ToFloat16(value).bits});
        if (dtype != DType::kF32) std::memcpy(&bytes[1 + at * 2], &bits, 2);
      }
      const absl::Span<const float> row = absl::MakeConstSpan(floats).subspan(o * in, in);
      if (kind.quantization == Quantization::kNone) {
        values.insert(values.end(), row.begin(), row.end());
        continue;
      }
      const QuantizedRow quantized = QuantizeRow(row, kind.quantization);
      for (int64_t k = 0; k < in; ++k) values.push_back(static_cast<double>(quantized.scale) * quantized.Integer(k));
    }
    host.data = bytes.data() + 1;
    host.dtype = dtype;
    host.out = out;
    host.in = in;
    host.transposed = transposed;
    if (bias) host.bias = bias_values.data();
  }

  std::vector<double> values;  // [out, in], as rounded
  std::vector<float> bias_values;
  std::vector<uint8_t> bytes;
  HostMatrix host;
};

// How a kernel sees activations: as they are, or rounded to bf16 or 16-bit fixed point (kernel_int.h).
enum class Rounding { kNone, kBf16, kFixed };

inline std::vector<float> Rounded(absl::Span<const float> x, Rounding rounding) {
  std::vector<float> rounded(x.begin(), x.end());
  float most = 0;
  for (const float value : x) most = std::max(most, std::abs(value));
  const float step = std::ldexp(1.0f, std::ilogb(most) - 14);
  for (float& value : rounded) {
    if (rounding == Rounding::kBf16) value = ToFloat(ToBFloat16(value));
    if (rounding == Rounding::kFixed) value = step * std::min(std::nearbyint(value / step), 32767.0f);
  }
  return rounded;
}

// The product in double, from the inputs as the kernels see them.
inline std::vector<double> Expected(const std::vector<Weight>& parts, const std::vector<float>& all_x, int64_t rows,
                                    const std::vector<double>& start, Rounding rounding) {
  std::vector<double> y;
  const int64_t in = parts[0].host.in;
  for (int64_t r = 0; r < rows; ++r) {
    const std::vector<float> x = Rounded(absl::MakeConstSpan(all_x).subspan(r * in, in), rounding);
    for (const Weight& part : parts) {
      for (int64_t o = 0; o < part.host.out; ++o) {
        double sum = start.empty() ? 0 : start[y.size()];
        if (part.host.bias != nullptr) sum += part.bias_values[o];
        for (int64_t k = 0; k < in; ++k) sum += x[k] * part.values[o * in + k];
        y.push_back(sum);
      }
    }
  }
  return y;
}

inline std::vector<HostMatrix> HostsOf(const std::vector<Weight>& parts) {
  std::vector<HostMatrix> hosts;
  for (const Weight& part : parts) hosts.push_back(part.host);
  return hosts;
}

}  // namespace barista::test

#include "kernels/matmul/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace barista {
namespace {

constexpr int kInt8Max = 127, kInt4Min = -8, kInt4Max = 7, kMultiplierMax = 15;
constexpr float kScaleMin = 1e-38f;  // below, quotients could overflow

// To the nearest, ties to even, for |x| < 2^22: the loops around it become vectors, which a call would prevent.
inline float Round(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

void RoundTo(const float* weights, int64_t count, float step, int low, int high, int8_t* q) {
  for (int64_t k = 0; k < count; ++k) {
    const float n = Round(weights[k] / step);
    q[k] = static_cast<int8_t>(std::clamp(n, static_cast<float>(low), static_cast<float>(high)));
  }
}

// Of a whole group, padded with zeros, were its integers multiples of `step`.
float SquaredError(const float (&weights)[kQuantizedGroup], float step) {
  constexpr int kLanes = 8;
  float sums[kLanes] = {};
  const float inverse = 1 / step;
  for (int64_t first = 0; first < kQuantizedGroup; first += kLanes) {
    for (int i = 0; i < kLanes; ++i) {
      const float w = weights[first + i];
      const float q = std::min(std::max(Round(w * inverse), float{kInt4Min}), float{kInt4Max});
      sums[i] += (w - q * step) * (w - q * step);
    }
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// The multiplier of one group.
int BestMultiplier(const float (&weights)[kQuantizedGroup], float scale) {
  int best = 0;
  float least = 0;
  for (const float w : weights) least += w * w;  // of multiplier 0
  for (int m = 1; m <= kMultiplierMax; ++m) {
    const float error = SquaredError(weights, scale * static_cast<float>(m));
    if (error < least) least = error, best = m;
  }
  return best;
}

}  // namespace

std::string_view Name(Quantization quantization) {
  switch (quantization) {
    case Quantization::kNone:
      return "none";
    case Quantization::kInt8:
      return "int8";
    case Quantization::kInt4:
      return "int4";
  }
  return "?";
}

QuantizedRow QuantizeRow(absl::Span<const float> weights, Quantization quantization) {
  const bool int4 = quantization == Quantization::kInt4;
  const int64_t in = static_cast<int64_t>(weights.size());
  QuantizedRow row;
  row.q.assign(in, 0);
  if (int4) row.multipliers.assign((in + kQuantizedGroup - 1) / kQuantizedGroup, 0);
  float most = 0;
  bool finite = true;
  for (const float w : weights) {
    most = std::max(most, std::abs(w));
    finite = finite && std::isfinite(w);
  }
  const float scale = most / static_cast<float>(int4 ? kInt4Max * kMultiplierMax : kInt8Max);
  if (!finite) row.scale = std::numeric_limits<float>::quiet_NaN();
  if (!finite || scale < kScaleMin) return row;
  row.scale = scale;
  if (!int4) {
    RoundTo(weights.data(), in, scale, -kInt8Max, kInt8Max, row.q.data());
    return row;
  }
  for (size_t g = 0; g < row.multipliers.size(); ++g) {
    const int64_t first = static_cast<int64_t>(g) * kQuantizedGroup, count = std::min(kQuantizedGroup, in - first);
    float group[kQuantizedGroup] = {};
    std::copy_n(&weights[first], count, group);
    const int m = BestMultiplier(group, scale);
    row.multipliers[g] = static_cast<uint8_t>(m);
    if (m > 0) RoundTo(group, count, scale * static_cast<float>(m), kInt4Min, kInt4Max, &row.q[first]);
  }
  return row;
}

}  // namespace barista

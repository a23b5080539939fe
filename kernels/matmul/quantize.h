// Weight-only quantisation of linear layers: symmetric, to the nearest, one float scale an output.
//
// An output o of W [out, in] becomes integers n and one scale:
//   w[k] ~ scale n[k]
//   int8   n[k] in [-127, 127]; scale = max |w| / 127
//   int4   n[k] = m[k / 32] q[k], q in [-8, 7], m in [0, 15]: scales in two levels, so that each group of 32 along
//          `in` has its own; scale = max |w| / (7 * 15), m is the one that leaves its group's smallest squared error
// |n| <= 127 in both, so int4 is a shorter way to write int8. The integers are part of no sum of floats: how a backend
// multiplies them is in its kernels, and `ref` multiplies scale * n in double.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/types/span.h"

namespace barista {

enum class Quantization : uint8_t { kNone, kInt8, kInt4 };

// "int8", "int4"; "none".
std::string_view Name(Quantization quantization);

inline constexpr int64_t kQuantizedGroup = 32;  // of int4, along `in`

// The weights of one output.
struct QuantizedRow {
  float scale = 0;                   // NaN where a weight is not finite; 0, with integers 0, where all are below 1e-36
  std::vector<int8_t> q;             // [in]
  std::vector<uint8_t> multipliers;  // int4: m [ceil(in / 32)]; int8: empty

  int Integer(int64_t k) const { return multipliers.empty() ? q[k] : multipliers[k / kQuantizedGroup] * q[k]; }
};

// quantization: int8 or int4. The same on every machine.
QuantizedRow QuantizeRow(absl::Span<const float> weights, Quantization quantization);

}  // namespace barista

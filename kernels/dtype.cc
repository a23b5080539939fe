#include "kernels/dtype.h"

#include <cmath>
#include <cstring>

namespace barista {
namespace {

template <class T>
T Load(const void* data, size_t i) {
  T x;
  std::memcpy(&x, static_cast<const std::byte*>(data) + i * sizeof(T), sizeof(T));
  return x;
}

}  // namespace

float ToFloat(Float16 x) {
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16;
  const uint32_t exponent = (x.bits >> 10) & 0x1f;
  const uint32_t mantissa = x.bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24 is exact in float
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

Float16 ToFloat16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000);
  const uint32_t magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (magnitude >= 0x477ff000) return {static_cast<uint16_t>(sign | 0x7c00)};  // >= 65520 rounds to infinity
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 aligns the last kept bit with the float's last bit
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(aligned) - 0x3f000000u))};
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

double LoadAsDouble(const void* data, DType dtype, size_t i) {
  switch (dtype) {
    case DType::kF64:
      return Load<double>(data, i);
    case DType::kF32:
      return Load<float>(data, i);
    case DType::kBF16:
      return ToFloat(Load<BFloat16>(data, i));
    case DType::kF16:
      return ToFloat(Load<Float16>(data, i));
  }
  return 0;
}

template <class T>
void ConvertTo(const void* src, DType dtype, size_t n, T* dst) {
  for (size_t i = 0; i < n; ++i) dst[i] = static_cast<T>(LoadAsDouble(src, dtype, i));
}
template void ConvertTo<float>(const void*, DType, size_t, float*);
template void ConvertTo<double>(const void*, DType, size_t, double*);

}  // namespace barista

#include "kernels/dtype.h"

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

#include <cmath>

#include "kernels/norm/norm.h"

namespace barista {

template <class T>
void NormRef(const NormArgs& a) {
  const T* weight = static_cast<const T*>(a.weight);
  const T* bias = static_cast<const T*>(a.bias);
  const int64_t D = a.x.cols;
  for (int64_t r = 0; r < a.x.rows; ++r) {
    const T* x = a.x.row<T>(r);
    T mean = 0, square = 0;
    if (a.kind == NormKind::kLayerNorm) {
      for (int64_t d = 0; d < D; ++d) mean += x[d];
      mean /= static_cast<T>(D);
    }
    for (int64_t d = 0; d < D; ++d) square += (x[d] - mean) * (x[d] - mean);
    const T root = std::sqrt(square / static_cast<T>(D) + static_cast<T>(a.eps));
    for (int64_t d = 0; d < D; ++d) {
      const T g = a.kind == NormKind::kAffine ? x[d] : (x[d] - mean) / root;
      a.y.row<T>(r)[d] = g * weight[d] + (bias == nullptr ? T{0} : bias[d]);
    }
  }
}

template void NormRef<float>(const NormArgs&);
template void NormRef<double>(const NormArgs&);

}  // namespace barista

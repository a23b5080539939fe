#include <cmath>

#include "kernels/chain.h"
#include "kernels/rglru/rglru.h"

namespace barista {

template <class T>
void RglruRef(const RglruArgs& a) {
  const T* softplus_a = static_cast<const T*>(a.softplus_a);
  const auto sigmoid = [](T x) { return 1 / (1 + std::exp(-x)); };
  for (const Segment& s : a.segments) {
    T* h = a.h.slot<T>(s.slot);
    if (s.from >= 0) TakeOver(a.h, s, 0, a.x.cols);
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t row = s.row + i;
      for (int64_t d = 0; d < a.x.cols; ++d) {
        const T input = sigmoid(a.input_gate.row<T>(row)[d]) * a.x.row<T>(row)[d];
        const T log_a = -8 * sigmoid(a.a_gate.row<T>(row)[d]) * softplus_a[d];
        h[d] = s.position + i == 0 ? input : std::exp(log_a) * h[d] + std::sqrt(-std::expm1(2 * log_a)) * input;
        a.y.row<T>(row)[d] = h[d];
      }
    }
  }
}

template void RglruRef<float>(const RglruArgs&);
template void RglruRef<double>(const RglruArgs&);

}  // namespace barista

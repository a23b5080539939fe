#include <cmath>

#include "kernels/embedding/embedding.h"

namespace barista {

template <class T>
void EmbedRef(const EmbedArgs& a) {
  const int64_t D = a.x.cols;
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t d = 0; d < D; ++d) {
      T x = static_cast<T>(LoadAsDouble(a.table, a.table_dtype, a.tokens[r] * D + d)) * static_cast<T>(a.scale);
      if (a.sinusoidal) {
        const double angle = static_cast<double>(a.positions[r]) *
                             std::pow(10000.0, -static_cast<double>(d / 2 * 2) / static_cast<double>(D));
        x += static_cast<T>(d % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
      a.x.row<T>(r)[d] = x;
    }
  }
}

template void EmbedRef<float>(const EmbedArgs&);
template void EmbedRef<double>(const EmbedArgs&);

}  // namespace barista

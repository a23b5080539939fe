#include <cmath>

#include "kernels/rotary/rotary.h"

namespace barista {

template <class T>
void RotateRef(const RotateArgs& a) {
  const int64_t E = a.head_dim, half = E / 2;
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t i = 0; i < half; ++i) {
      const double frequency = std::pow(a.theta, -2.0 * static_cast<double>(i) / static_cast<double>(E));
      const double angle = static_cast<double>(a.positions[r]) * frequency;
      const T cos = static_cast<T>(std::cos(angle)), sin = static_cast<T>(a.sign * std::sin(angle));
      for (int64_t head = 0; head < a.x.cols; head += E) {
        const T left = a.x.row<T>(r)[head + i], right = a.x.row<T>(r)[head + half + i];
        a.y.row<T>(r)[head + i] = left * cos - right * sin;
        a.y.row<T>(r)[head + half + i] = right * cos + left * sin;
      }
    }
  }
}

template void RotateRef<float>(const RotateArgs&);
template void RotateRef<double>(const RotateArgs&);

}  // namespace barista

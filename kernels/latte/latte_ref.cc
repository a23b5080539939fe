#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/chain.h"
#include "kernels/latte/latte.h"

namespace barista {
namespace {

// e^(a - b) for a <= b, where -inf stands for "nothing yet": 0, also when both are.
template <class T>
T ExpDifference(T a, T b) {
  return a == -std::numeric_limits<T>::infinity() ? T{0} : std::exp(a - b);
}

}  // namespace

template <class T>
void LatteRef(const LatteArgs& a) {
  const int64_t M = a.latents, E = a.head_dim, share = a.heads / a.kv_heads;
  for (const Segment& s : a.segments) {
    T* max = a.max.slot<T>(s.slot);
    T* alpha = a.alpha.slot<T>(s.slot);
    T* vtilde = a.vtilde.slot<T>(s.slot);
    if (s.from >= 0) {
      TakeOver(a.max, s, 0, a.kv_heads * M);
      TakeOver(a.alpha, s, 0, a.kv_heads * M);
      TakeOver(a.vtilde, s, 0, a.kv_heads * M * E);
    }
    for (int64_t row = s.row; row < s.row + s.rows; ++row) {
      const T* v = a.v.row<T>(row);
      T* y = a.y.row<T>(row);
      for (int64_t i = 0; i < a.kv_heads * M; ++i) {
        const T k = a.k.row<T>(row)[i] * static_cast<T>(a.k_scale);
        const T new_max = std::max(max[i], k);
        const T keep = ExpDifference(max[i], new_max);
        const T add = ExpDifference(k, new_max);
        max[i] = new_max;
        alpha[i] = alpha[i] * keep + add;
        for (int64_t e = 0; e < E; ++e) vtilde[i * E + e] = vtilde[i * E + e] * keep + add * v[i / M * E + e];
      }
      for (int64_t h = 0; h < a.heads; ++h) {
        const T* p = a.p.row<T>(row) + h * (a.local + M) + a.local;
        std::fill_n(y + h * E, E, T{0});
        for (int64_t m = 0; m < M; ++m) {
          const int64_t i = h / share * M + m;
          if (alpha[i] == 0) continue;  // no token has had any weight: an empty sum, not 0 / 0
          for (int64_t e = 0; e < E; ++e) y[h * E + e] += p[m] * vtilde[i * E + e] / alpha[i];
        }
      }
    }
  }
}

template <class T>
void BidirectionalLatteRef(const BidirectionalLatteArgs& a) {
  const int64_t M = a.latents, E = a.head_dim, share = a.heads / a.kv_heads;
  std::vector<T> mean(a.kv_heads * M * E);  // sum_s e^(k_s) v_s / sum_s e^(k_s)
  for (const Segment& s : a.segments) {
    for (int64_t i = 0; i < a.kv_heads * M; ++i) {
      T max = -std::numeric_limits<T>::infinity(), alpha = 0;
      for (int64_t row = s.row; row < s.row + s.rows; ++row) {
        max = std::max(max, a.k.row<T>(row)[i] * static_cast<T>(a.k_scale));
      }
      T* vtilde = mean.data() + i * E;
      std::fill_n(vtilde, E, T{0});
      for (int64_t row = s.row; row < s.row + s.rows; ++row) {
        const T add = ExpDifference(a.k.row<T>(row)[i] * static_cast<T>(a.k_scale), max);
        alpha += add;
        for (int64_t e = 0; e < E; ++e) vtilde[e] += add * a.v.row<T>(row)[i / M * E + e];
      }
      for (int64_t e = 0; e < E && alpha != 0; ++e) vtilde[e] /= alpha;
    }
    for (int64_t row = s.row; row < s.row + s.rows; ++row) {
      T* y = a.y.row<T>(row);
      for (int64_t h = 0; h < a.heads; ++h) {
        std::fill_n(y + h * E, E, T{0});
        for (int64_t m = 0; m < M; ++m) {
          const T* vtilde = mean.data() + (h / share * M + m) * E;
          for (int64_t e = 0; e < E; ++e) y[h * E + e] += a.p.row<T>(row)[h * M + m] * vtilde[e];
        }
      }
    }
  }
}

template void LatteRef<float>(const LatteArgs&);
template void LatteRef<double>(const LatteArgs&);
template void BidirectionalLatteRef<float>(const BidirectionalLatteArgs&);
template void BidirectionalLatteRef<double>(const BidirectionalLatteArgs&);

}  // namespace barista

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/chain.h"
#include "kernels/window_attention/window_attention.h"

namespace barista {
namespace {

// Writes row[0, n) of a ring, rounded to its element type.
template <class T>
void Store(const T* src, int64_t n, DType dtype, std::byte* dst) {
  for (int64_t i = 0; i < n; ++i) {
    switch (dtype) {
      case DType::kF64:
        reinterpret_cast<double*>(dst)[i] = src[i];
        break;
      case DType::kF32:
        reinterpret_cast<float*>(dst)[i] = static_cast<float>(src[i]);
        break;
      case DType::kBF16:
        reinterpret_cast<BFloat16*>(dst)[i] = ToBFloat16(static_cast<float>(src[i]));
        break;
      case DType::kF16:
        reinterpret_cast<Float16*>(dst)[i] = ToFloat16(static_cast<float>(src[i]));
        break;
    }
  }
}

// Row `row` of the ring [capacity, E] of kv head g.
std::byte* RingRow(const WindowAttentionArgs& a, const SlotArray& ring, int32_t slot, int64_t g, int64_t row) {
  const int64_t at = (g * a.capacity + row) * a.head_dim;
  return ring.base + slot * ring.slot_bytes + at * static_cast<int64_t>(SizeOf(ring.dtype));
}

}  // namespace

template <class T>
void WindowAttentionRef(const WindowAttentionArgs& a) {
  const int64_t E = a.head_dim, share = a.heads / a.kv_heads;
  std::vector<T> key(E), value(E), score(a.window), sum(E);
  for (const Segment& s : a.segments) {
    for (int64_t g = 0; s.from >= 0 && g < a.kv_heads; ++g) {
      TakeOverRing(a.keys, s, g * a.capacity * E, a.capacity, E);
      TakeOverRing(a.values, s, g * a.capacity * E, a.capacity, E);
    }
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t row = s.row + i, t = s.position + i, first = std::max<int64_t>(0, t - a.window + 1);
      for (int64_t g = 0; g < a.kv_heads; ++g) {
        Store(a.k.row<T>(row) + g * E, E, a.keys.dtype, RingRow(a, a.keys, s.slot, g, t % a.capacity));
        Store(a.v.row<T>(row) + g * E, E, a.values.dtype, RingRow(a, a.values, s.slot, g, t % a.capacity));
      }
      for (int64_t h = 0; h < a.heads; ++h) {
        const int64_t g = h / share;
        T max = -std::numeric_limits<T>::infinity();
        for (int64_t u = first; u <= t; ++u) {
          ConvertTo(RingRow(a, a.keys, s.slot, g, u % a.capacity), a.keys.dtype, E, key.data());
          T dot = 0;
          for (int64_t e = 0; e < E; ++e) dot += a.q.row<T>(row)[h * E + e] * key[e];
          dot *= static_cast<T>(a.scale);
          if (a.softcap > 0) dot = static_cast<T>(a.softcap) * std::tanh(dot / static_cast<T>(a.softcap));
          score[u - first] = dot;
          max = std::max(max, dot);
        }
        T total = 0;
        std::fill(sum.begin(), sum.end(), T{0});
        for (int64_t u = first; u <= t; ++u) {
          ConvertTo(RingRow(a, a.values, s.slot, g, u % a.capacity), a.values.dtype, E, value.data());
          const T w = std::exp(score[u - first] - max);
          total += w;
          for (int64_t e = 0; e < E; ++e) sum[e] += w * value[e];
        }
        T* y = a.y.row<T>(row) + h * E;
        for (int64_t e = 0; e < E; ++e) {
          if (a.weight.data == nullptr) {
            y[e] = sum[e] / total;
          } else {
            y[e] += a.weight.row<T>(row)[h * a.weight_stride] * sum[e] / total;
          }
        }
      }
    }
  }
}

template void WindowAttentionRef<float>(const WindowAttentionArgs&);
template void WindowAttentionRef<double>(const WindowAttentionArgs&);

}  // namespace barista

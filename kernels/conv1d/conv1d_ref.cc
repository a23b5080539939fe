#include "kernels/chain.h"
#include "kernels/conv1d/conv1d.h"

namespace barista {

template <class T>
void Conv1dRef(const Conv1dArgs& a) {
  const T* weight = static_cast<const T*>(a.weight);
  const T* bias = static_cast<const T*>(a.bias);
  const int64_t D = a.x.cols, past = a.width - 1;
  for (const Segment& s : a.segments) {
    T* inputs = past == 0 ? nullptr : a.inputs.slot<T>(s.slot);
    if (s.from >= 0 && past > 0) TakeOver(a.inputs, s, 0, past * D);
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t t = s.position + i;
      const T* x = a.x.row<T>(s.row + i);
      for (int64_t d = 0; d < D; ++d) {
        T y = bias[d] + weight[d] * x[d];
        for (int64_t j = 1; j <= past && j <= t; ++j) y += weight[j * D + d] * inputs[(t - j) % past * D + d];
        a.y.row<T>(s.row + i)[d] = y;
      }
      for (int64_t d = 0; d < D && past > 0; ++d) inputs[t % past * D + d] = x[d];
    }
  }
}

template void Conv1dRef<float>(const Conv1dArgs&);
template void Conv1dRef<double>(const Conv1dArgs&);

}  // namespace barista

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/activation/activation.h"

namespace barista {
namespace {

template <class T>
T Sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

template <class T>
T Gelu(T x) {
  const T root = std::sqrt(2 / std::numbers::pi_v<T>);
  return x / 2 * (1 + std::tanh(root * (x + static_cast<T>(0.044715) * x * x * x)));
}

template <class T>
T Apply(Activation act, T x) {
  return act == Activation::kGelu ? Gelu(x) : x * Sigmoid(x);
}

}  // namespace

template <class T>
void MlpActivationRef(const MlpActivationArgs& a) {
  for (int64_t r = 0; r < a.up.rows; ++r) {
    for (int64_t f = 0; f < a.up.cols; ++f) {
      const T up = a.up.row<T>(r)[f];
      a.y.row<T>(r)[f] = a.gate.data == nullptr ? Apply(a.act, up) : Apply(a.act, a.gate.row<T>(r)[f]) * up;
    }
  }
}

template <class T>
void GeluRef(const GeluArgs& a) {
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t d = 0; d < a.x.cols; ++d) a.y.row<T>(r)[d] = Gelu(a.x.row<T>(r)[d]);
  }
}

template <class T>
void GluRef(const GluArgs& a) {
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t d = 0; d < a.x.cols; ++d) {
      a.x.row<T>(r)[d] += a.value.row<T>(r)[d] * Sigmoid(a.gate.row<T>(r)[d]);
    }
  }
}

template <class T>
void AddRef(const AddArgs& a) {
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t d = 0; d < a.x.cols; ++d) a.x.row<T>(r)[d] += a.y.row<T>(r)[d];
  }
}

template <class T>
void SoftcapRef(const SoftcapArgs& a) {
  const T cap = static_cast<T>(a.cap);
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t v = 0; v < a.x.cols; ++v) a.x.row<T>(r)[v] = cap * std::tanh(a.x.row<T>(r)[v] / cap);
  }
}

template <class T>
void GroupSoftmaxRef(const GroupSoftmaxArgs& a) {
  const T scale = static_cast<T>(a.scale);
  for (int64_t r = 0; r < a.x.rows; ++r) {
    for (int64_t first = 0; first < a.x.cols; first += a.group) {
      T* x = a.x.row<T>(r) + first;
      T max = x[0] * scale, total = 0;
      for (int64_t i = 0; i < a.group; ++i) max = std::max(max, x[i] * scale);
      for (int64_t i = 0; i < a.group; ++i) total += x[i] = std::exp(x[i] * scale - max);
      for (int64_t i = 0; i < a.group; ++i) x[i] /= total;
    }
  }
}

template void MlpActivationRef<float>(const MlpActivationArgs&);
template void MlpActivationRef<double>(const MlpActivationArgs&);
template void GeluRef<float>(const GeluArgs&);
template void GeluRef<double>(const GeluArgs&);
template void GluRef<float>(const GluArgs&);
template void GluRef<double>(const GluArgs&);
template void AddRef<float>(const AddArgs&);
template void AddRef<double>(const AddArgs&);
template void SoftcapRef<float>(const SoftcapArgs&);
template void SoftcapRef<double>(const SoftcapArgs&);
template void GroupSoftmaxRef<float>(const GroupSoftmaxArgs&);
template void GroupSoftmaxRef<double>(const GroupSoftmaxArgs&);

}  // namespace barista

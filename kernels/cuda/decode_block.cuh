// What kernels share that take one token of a sequence in a block.
#pragma once

#include "kernels/cuda/device.cuh"

namespace barista {

inline constexpr int kDecodeThreads = 256;  // of a block; at least kCudaHeadDimMax

// W neighbouring elements as one piece of memory, 16 bytes where W is not 1.
template <int W, class T>
struct alignas(W == 1 ? alignof(T) : 16) Wide {
  T of[W];
};

template <int W, class T>
__device__ void LoadWide(const T* from, float (&x)[W]) {
  const Wide<W, T> wide = *reinterpret_cast<const Wide<W, T>*>(from);
#pragma unroll
  for (int i = 0; i < W; ++i) x[i] = ToFloat(wide.of[i]);
}
template <int W>
__device__ void StoreWide(float* to, const float (&x)[W]) {
  Wide<W, float> wide;
#pragma unroll
  for (int i = 0; i < W; ++i) wide.of[i] = x[i];
  *reinterpret_cast<Wide<W, float>*>(to) = wide;
}

}  // namespace barista

// What device code of this tree shares: views, shared memory, sums over a warp and a block.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/step_rows.h"
#include "kernels/dtype.h"
#include "kernels/view.h"

namespace barista {

inline constexpr unsigned kAllLanes = 0xffffffff;
inline constexpr float kInfinity = std::bit_cast<float>(0x7f800000u);

// Rows of activations as kernels take them; null where the view is.
struct DeviceRows {
  DeviceRows() = default;
  DeviceRows(const Rows& rows) : data(static_cast<float*>(rows.data)), stride(rows.stride) {}
  __device__ float* row(int64_t r) const { return data + r * stride; }

  float* data = nullptr;
  int64_t stride = 0;
};

__device__ inline bool Covers(const StepRows& rows, int64_t row) {
  return rows.run_of_row == nullptr || rows.run_of_row[row] >= rows.first_run;
}

// One component of the slots' state.
template <class T>
struct DeviceSlots {
  DeviceSlots(const SlotArray& array) : base(array.base), slot_bytes(array.slot_bytes) {}
  __device__ T* slot(int32_t id) const { return reinterpret_cast<T*>(base + id * slot_bytes); }

  std::byte* base;
  int64_t slot_bytes;
};

// The block's dynamic shared memory, handed out piece by piece, each aligned to 16 bytes: every thread takes the same.
class Shared {
 public:
  __device__ Shared() {
    extern __shared__ uint4 barista_shared[];
    next_ = reinterpret_cast<std::byte*>(barista_shared);
  }
  template <class T>
  __device__ T* Take(int64_t count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += Bytes<T>(count);
    return piece;
  }
  // What a piece of that many takes.
  template <class T>
  static constexpr int64_t Bytes(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + 15) / 16 * 16;
  }

 private:
  std::byte* next_;
};

// A kernel whose launch `overlaps` (launch.cuh) calls the first in all threads, before it touches what launches before
// it write, or writes what they read: until then it may only read what no step changes. After the second the launch
// behind it may begin, and will itself wait.
__device__ inline void WaitForLaunchBefore() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}
__device__ inline void LetNextLaunchBegin() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

__device__ inline int Lane() { return static_cast<int>(threadIdx.x % 32); }
__device__ inline int WarpIndex() { return static_cast<int>(threadIdx.x / 32); }
__device__ inline int Warps() { return static_cast<int>(blockDim.x / 32); }

// What every lane of a warp has, for each to read any lane's; all lanes read together.
#ifdef BARISTA_CUDA_SHIM
using shim::Lanes;  // of one exchange
#else
template <class T>
class Lanes {
 public:
  __device__ explicit Lanes(T mine) : mine_(mine) {}
  __device__ T operator[](int lane) const { return __shfl_sync(kAllLanes, mine_, lane); }

 private:
  T mine_;
};
#endif

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Largest {  // NaN only where both are
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Over the lanes, by halves, the same bits in every lane.
template <class T, class Combine>
__device__ T WarpReduce(T x, Combine combine) {
  for (int flip = 16; flip >= 1; flip /= 2) x = combine(x, __shfl_xor_sync(kAllLanes, x, flip));
  return x;
}

// x = softmax(scale x), by one warp.
__device__ inline void WarpSoftmax(float* x, int64_t count, float scale) {
  float largest = -kInfinity;
  for (int64_t i = Lane(); i < count; i += 32) largest = fmaxf(largest, x[i] * scale);
  largest = WarpReduce(largest, Largest());
  float total = 0;
  for (int64_t i = Lane(); i < count; i += 32) {
    x[i] = expf(x[i] * scale - largest);
    total += x[i];
  }
  const float share = 1.0f / WarpReduce(total, Sum());
  for (int64_t i = Lane(); i < count; i += 32) x[i] *= share;
}

// Over the block's threads, the same bits in every thread. scratch: one element a warp; free again afterwards.
template <class T, class Combine>
__device__ T BlockReduce(T x, Combine combine, T* scratch) {
  x = WarpReduce(x, combine);
  if (Lane() == 0) scratch[WarpIndex()] = x;
  __syncthreads();
  T all = scratch[0];
  for (int warp = 1; warp < Warps(); ++warp) all = combine(all, scratch[warp]);
  __syncthreads();
  return all;
}

}  // namespace barista

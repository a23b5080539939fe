// What the forms of attention over the last tokens share on a device. R is the element type of the rings.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/window_attention/window_attention.h"

namespace barista {

__device__ inline void StoreAs(float x, float* to) { *to = x; }
__device__ inline void StoreAs(float x, BFloat16* to) { *to = ToBFloat16(x); }
__device__ inline void StoreAs(float x, Float16* to) { *to = ToFloat16(x); }

// x as it reads back from a ring.
template <class R>
__device__ float Rounded(float x) {
  R stored;
  StoreAs(x, &stored);
  return ToFloat(stored);
}

template <class R>
struct WindowView {
  explicit WindowView(const WindowAttentionArgs& a)
      : q(a.q),
        k(a.k),
        v(a.v),
        weight(a.weight),
        y(a.y),
        keys(a.keys),
        values(a.values),
        weight_stride(static_cast<int>(a.weight_stride)),
        kv_heads(static_cast<int>(a.kv_heads)),
        share(static_cast<int>(a.heads / a.kv_heads)),
        E(static_cast<int>(a.head_dim)),
        window(a.window),
        capacity(a.capacity),
        scale(static_cast<float>(a.scale)),
        softcap(static_cast<float>(a.softcap)),
        per_softcap(softcap > 0 ? 1.0f / softcap : 0.0f) {}

  __device__ R* Keys(int32_t slot, int g) const { return keys.slot(slot) + g * capacity * E; }
  __device__ R* Values(int32_t slot, int g) const { return values.slot(slot) + g * capacity * E; }
  __device__ int64_t First(int64_t t) const { return max(int64_t{0}, t - window + 1); }
  __device__ float Score(float dot) const {
    const float s = dot * scale;
    return softcap > 0 ? softcap * tanhf(s * per_softcap) : s;
  }
  // The values' mean enters column e of query head h.
  __device__ void Write(int64_t row, int h, int e, float mean) const {
    float& place = y.row(row)[h * E + e];
    place = weight.data == nullptr ? mean : place + weight.row(row)[h * weight_stride] * mean;
  }

  DeviceRows q, k, v, weight, y;
  DeviceSlots<R> keys, values;
  int weight_stride, kv_heads, share, E;
  int64_t window, capacity;
  float scale, softcap, per_softcap;
};

// e^(x - shift), 0 for what is masked.
__device__ inline float Weight(float x, float shift) { return x == -kInfinity ? 0.0f : expf(x - shift); }

// Calls work(R{}) with the rings' element type.
template <class Work>
void WithRingType(DType dtype, const Work& work) {
  if (dtype == DType::kBF16) return work(BFloat16{});
  if (dtype == DType::kF16) return work(Float16{});
  work(0.0f);
}

void WindowDecodeCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue);
void WindowPrefillCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue);
// On the tensor cores, for rings of bf16; reads the rings and does not fill them.
void WindowPrefillTilesCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue);

}  // namespace barista

// What the forms of Latte attention share on a device.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile_product.cuh"
#include "kernels/latte/dither.h"
#include "kernels/latte/latte.h"

namespace barista {

// A layer's inputs and sizes, with the columns of a head.
struct LatteView {
  template <class Args>
  LatteView(const Args& a, int64_t local_columns)
      : p(a.p),
        k(a.k),
        v(a.v),
        y(a.y),
        kv_heads(static_cast<int>(a.kv_heads)),
        share(static_cast<int>(a.heads / a.kv_heads)),
        M(static_cast<int>(a.latents)),
        E(static_cast<int>(a.head_dim)),
        local(static_cast<int>(local_columns)),
        k_scale(static_cast<float>(a.k_scale)) {}

  __device__ float P(int64_t row, int h, int m) const { return p.row(row)[h * (local + M) + local + m]; }
  __device__ float Key(int64_t row, int g, int m) const { return k.row(row)[g * M + m] * k_scale; }
  __device__ const float* V(int64_t row, int g) const { return v.row(row) + g * E; }
  __device__ float* Y(int64_t row, int h) const { return y.row(row) + h * E; }

  DeviceRows p, k, v, y;
  int kv_heads, share, M, E, local;
  float k_scale;
};

struct LatteState {
  explicit LatteState(const LatteArgs& a) : max(a.max), alpha(a.alpha), vtilde(a.vtilde) {}
  DeviceSlots<float> max, alpha, vtilde;
};

// e^(a - b) for a <= b, where -inf stands for "nothing yet": 0, also when both are.
__device__ inline float ExpDifference(float a, float b) { return a == -kInfinity ? 0.0f : expf(a - b); }

// A NaN key wins, so that it shows in its own session.
__device__ inline float RunningMax(float old, float key) { return old > key ? old : key; }

// What spreads the rounding of a state's sums (dither.h): the n-th of them, n < M E for vtilde, then alpha.
class Dither {
 public:
  __device__ Dither(int64_t position, int g) : bits_(DitherBits(position, g)) {}

  // sum + term, the term moved by up to half of the sum's last place either way.
  __device__ float Add(float sum, float term, int n) const {
    const uint32_t bits = bits_ + static_cast<uint32_t>(n) * 0x9e3779b9u;  // 2^32 over the golden ratio
    const float share = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-55f;
    const float power = std::bit_cast<float>(std::bit_cast<uint32_t>(sum) & 0xff800000u);  // 2^23 last places
    return sum + (term + power * share);
  }

 private:
  uint32_t bits_;
};

void LatteDecodeCuda(const LatteArgs& args, const DeviceStep& step, CudaQueue& queue);
void LatteChunksCuda(const LatteArgs& args, const DeviceStep& step, float* workspace, CudaQueue& queue);

}  // namespace barista

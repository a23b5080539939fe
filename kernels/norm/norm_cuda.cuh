// A row's normalisation by one warp, for the kernels that begin with it.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/norm/norm.h"

namespace barista {

struct DeviceNorm {
  DeviceNorm() = default;
  explicit DeviceNorm(const NormArgs& a)
      : x(a.x),
        y(a.y),
        weight(static_cast<const float*>(a.weight)),
        bias(static_cast<const float*>(a.bias)),
        D(static_cast<int>(a.x.cols)),
        kind(a.kind),
        eps(static_cast<float>(a.eps)) {}

  DeviceRows x, y;
  const float* weight = nullptr;
  const float* bias = nullptr;  // may be null
  int D = 0;
  NormKind kind = NormKind::kRmsNorm;
  float eps = 0;
};

// Of one row, in every lane of the warp that made it. Sums and products are rounded together where it says so and
// nowhere else, so that all kernels make the same bits.
class NormOfRow {
 public:
  __device__ NormOfRow(const DeviceNorm& norm, const float* x) : norm_(norm), x_(x) {
    const float D = static_cast<float>(norm.D);
    if (norm.kind == NormKind::kLayerNorm) {
      float sum = 0;
#pragma unroll 8
      for (int d = Lane(); d < norm.D; d += 32) sum += x[d];
      mean_ = WarpReduce(sum, Sum()) / D;
    }
    if (norm.kind != NormKind::kAffine) {
      float square = 0;
#pragma unroll 8
      for (int d = Lane(); d < norm.D; d += 32) square = fmaf(x[d] - mean_, x[d] - mean_, square);
      scale_ = 1.0f / sqrtf(WarpReduce(square, Sum()) / D + norm.eps);
    }
  }

  __device__ float At(int d) const {
    const float g = (x_[d] - mean_) * scale_;
    return norm_.bias == nullptr ? g * norm_.weight[d] : fmaf(g, norm_.weight[d], norm_.bias[d]);
  }

 private:
  const DeviceNorm& norm_;
  const float* x_;
  float mean_ = 0, scale_ = 1;
};

}  // namespace barista

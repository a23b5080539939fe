// Normalisation of each row: y = g(x) * (weight + offset) + bias, with g by kind
//   layernorm (x - mean) / sqrt(var + eps)    rmsnorm x / sqrt(mean(x^2) + eps)    affine x (a folded BatchNorm)
#pragma once

#include "kernels/view.h"

namespace barista {

class CudaQueue;

enum class NormKind { kLayerNorm, kRmsNorm, kAffine };

struct NormArgs {
  NormKind kind = NormKind::kRmsNorm;
  double eps = 1e-6;
  const void* weight = nullptr;  // [D], activation type, the configured offset already added
  const void* bias = nullptr;    // [D] or null
  Rows x;                        // [R, D]
  Rows y;                        // [R, D], may be x
};

template <class T>
void NormRef(const NormArgs& args);
void NormCpu(const NormArgs& args);                     // float; rows [0, R) on the calling thread
void NormCuda(const NormArgs& args, CudaQueue& queue);  // float, in the queue's order; all pointers of the device

}  // namespace barista

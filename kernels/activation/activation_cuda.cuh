// The element functions of activation.h on a device, shared by its kernels and the products that end in one.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

#include "kernels/activation/activation.h"

namespace barista {

__device__ inline float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The tanh form, as x * sigmoid(2u): 1 + tanh u = 2 sigmoid(2u), without cancellation where x is very negative.
__device__ inline float Gelu(float x) { return x * Sigmoid(1.5957691216f * (x + 0.044715f * x * x * x)); }

__device__ inline float Apply(Activation act, float x) { return act == Activation::kGelu ? Gelu(x) : x * Sigmoid(x); }

}  // namespace barista

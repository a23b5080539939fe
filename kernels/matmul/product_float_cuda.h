// Products with f32 and f16 weights, in float on the cores for scalars: exact weights, activations not rounded.
#pragma once

#include "kernels/matmul/product_cuda.cuh"
#include "kernels/matmul/weight_form_cuda.h"

namespace barista {

inline constexpr int kUnitRows = 4;  // of the weight, multiplied together by a warp; two of the gate, two of up

// products.of[i].first_block are set here. form: f32 or f16, of all weights. rows: the most of any product.
void RunFloatProducts(Products products, WeightForm form, int64_t rows, CudaQueue& queue);

}  // namespace barista

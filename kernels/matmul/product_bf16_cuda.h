// Products with bf16 weights; activations are rounded to bf16 (DECISIONS.md, 2).
#pragma once

#include "kernels/matmul/product_cuda.cuh"

namespace barista {

inline constexpr int kDirectRowsMax = 8;  // up to here kernels read x itself; above, its packed form

// products.of[i].first_block are set here. rows: the most of any product.
void RunBf16Products(Products products, int64_t rows, int multiprocessors, CudaQueue& queue);

// Rounds and packs rows of x for the tensor cores.
struct Packing {
  DeviceRows x;
  int64_t rows = 0, in = 0;
  int tiles_in = 0;
  uint2* packed = nullptr;  // [ceil(rows / 8), tiles_in, 32]
  int first_block = 0;
};
struct Packings {
  int count = 0;
  Packing of[kProductsMax];
};
void PackRows(Packings packings, CudaQueue& queue);

}  // namespace barista

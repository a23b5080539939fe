// Products with weights in tiles, bf16 or quantised; activations are rounded to bf16 (DECISIONS.md, 2).
#pragma once

#include "kernels/cuda/card.h"
#include "kernels/matmul/product_cuda.cuh"
#include "kernels/matmul/weight_form_cuda.h"
#include "kernels/norm/norm_cuda.cuh"

namespace barista {

inline constexpr int kDirectRowsMax = 8;  // up to here kernels read x itself; above, its packed form

// products.of[i].first_block are set here. form: of all weights, tiled. rows: the most of any product.
void RunTileProducts(Products products, WeightForm form, int64_t rows, const CudaCard& card, CudaQueue& queue);

// The same of the norm of at most kDirectRowsMax rows, which the kernels make themselves: each product reads its
// columns from first_column on. The norm's y is written too, and is not its x. Where NormedTileFits(its D).
void RunNormTileProducts(Products products, WeightForm form, const DeviceNorm& norm, CudaQueue& queue);
bool NormedTileFits(int64_t D);
// How many columns behind D, rounded up to whole tiles, such products may read.
inline constexpr int kNormedGap = 8;

// Rounds and packs rows of x for the tensor cores.
struct Packing {
  DeviceRows x;
  int64_t rows = 0, in = 0;
  int tiles_in = 0;
  uint32_t* packed = nullptr;  // PackedRows, [ceil(rows / 8), tiles_in, kPackedWords]
  int first_block = 0;
};
struct Packings {
  int count = 0;
  Packing of[kProductsMax];
};
void PackRows(Packings packings, CudaQueue& queue);
// The norm of `rows` rows, packed in ceil(D / 16) tiles a row, and its y, which is not its x.
void PackNormedRows(const DeviceNorm& norm, int64_t rows, uint32_t* packed, CudaQueue& queue);

}  // namespace barista

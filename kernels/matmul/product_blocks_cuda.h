// Products of many rows with weights in tiles, on the tensor cores: the same bits as product_tiles_cuda.h's few.
#pragma once

#include "kernels/cuda/card.h"
#include "kernels/matmul/product_cuda.cuh"
#include "kernels/matmul/weight_form_cuda.h"

namespace barista {

// As RunTileProducts, of more than kDirectRowsMax rows, which are packed.
template <WeightForm kForm>
void RunBlockProducts(Products& products, int64_t rows, const CudaCard& card, CudaQueue& queue);

}  // namespace barista

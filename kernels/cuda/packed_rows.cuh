// Writing rows where the tensor cores read them.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/packed_rows.h"

namespace barista {

// One element, rounded; nothing where nobody wants it.
__device__ inline void Put(const PackedRows& rows, int64_t row, int64_t column, float value) {
  if (rows.data == nullptr) return;
  const int64_t tile = row / 8 * rows.tiles_in + column / 16, half = column % 16 / 8;
  rows.data[((tile * 2 + half) * 8 + row % 8) * 8 + column % 8] = ToBFloat16(value);
}

}  // namespace barista

// Rows for the tensor cores, packed by whoever makes them: bf16 in tiles of 8 rows and 16 columns
// (round_tile_cuda.cuh).
#pragma once

namespace barista {

struct BFloat16;

struct PackedRows {
  BFloat16* data = nullptr;  // of the device; null: nobody wants them
  int tiles_in = 0;          // of a row
};

}  // namespace barista

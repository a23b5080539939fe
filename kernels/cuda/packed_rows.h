// Rows for the tensor cores, packed by whoever makes them: bf16 in tiles of 8 rows and 16 columns, [tile of rows, tile
// of columns, 2 halves, 8 rows, 8 columns]. So a half is 128 bytes in a row, and lane l of a warp finds its two words
// of mma.m16n8k16's second operand in places l and 32 + l.
#pragma once

namespace barista {

struct BFloat16;

struct PackedRows {
  BFloat16* data = nullptr;  // of the device; null: nobody wants them
  int tiles_in = 0;          // of a row
};

}  // namespace barista

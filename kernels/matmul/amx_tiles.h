// How the kernels for AMX share out its eight tiles.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

namespace barista {

// Tiles 0 to 3: sums, two of each of two blocks of up to 16 rows; 4 and 5: activations of the blocks; 6, 7: weights.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {};

  TileConfig(int64_t first, int64_t second) {
    const uint8_t a = static_cast<uint8_t>(first), b = static_cast<uint8_t>(second);
    const uint8_t all[8] = {a, a, b, b, a, b, 16, 16};
    std::copy(all, all + 8, rows);
  }
};

__attribute__((target("amx-tile"))) inline void LoadTileConfig(int64_t first, int64_t second) {
  const TileConfig config(first, second);
  asm volatile("" : : "r"(&config) : "memory");  // the intrinsic does not tell the compiler what it reads
  _tile_loadconfig(&config);
}

}  // namespace barista

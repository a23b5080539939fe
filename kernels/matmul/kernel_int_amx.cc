// Bytes by AMX tiles: 16 rows x 64 k times 64 k x 16 outputs a tile, for as few rows as there are.
#include "kernels/matmul/amx_tiles.h"
#include "kernels/matmul/kernel_int_avx512.h"

#define BARISTA_AMX __attribute__((target("amx-tile,amx-int8,avx512f")))

namespace barista {
namespace {

// The tiles' two blocks are the high and the low bytes of the same rows.
class Amx {
 public:
  ~Amx() { Release(); }

  BARISTA_AMX void Multiply(const std::byte* n, const std::byte* x, int64_t rows, int64_t steps, bool stream,
                            IntSums& sums) {
    if (rows <= kVnniRowsMax) return MultiplyVnni(n, x, rows, steps, sums);
    if (rows != rows_) Configure(rows);
    constexpr int64_t kRowBytes = kPanel * 4, kTileBytes = kIntStepBytes / 2;
    _tile_loadd(0, &sums.of[0][0][0], kRowBytes);
    _tile_loadd(1, &sums.of[0][0][16], kRowBytes);
    _tile_loadd(2, &sums.of[1][0][0], kRowBytes);
    _tile_loadd(3, &sums.of[1][0][16], kRowBytes);
    for (int64_t s = 0; s < steps; ++s) {
      if (stream) {
        for (int64_t line = 0; line < kIntStepBytes; line += 64) _mm_prefetch(n + kIntAheadBytes + line, _MM_HINT_T0);
      }
      _tile_loadd(6, n, 64);
      _tile_loadd(4, x, 64);
      _tile_loadd(7, n + kTileBytes, 64);
      _tile_loadd(5, x + rows * kChunkBytes, 64);
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 7);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
      n += kIntStepBytes;
      x += rows * kIntDigits * kChunkBytes;
    }
    _tile_stored(0, &sums.of[0][0][0], kRowBytes);
    _tile_stored(1, &sums.of[0][0][16], kRowBytes);
    _tile_stored(2, &sums.of[1][0][0], kRowBytes);
    _tile_stored(3, &sums.of[1][0][16], kRowBytes);
  }

  static void Unpack(const std::byte* m, const std::byte* q, int64_t steps, std::byte* n) {
    UnpackAvx512(m, q, steps, n);
  }

 private:
  static constexpr int64_t kVnniRowsMax = 2;  // up to here vpdpbusd takes less time than a tile, for the same sums

  BARISTA_AMX void Configure(int64_t rows) {
    LoadTileConfig(rows, rows);
    rows_ = rows;
  }
  BARISTA_AMX void Release() const {
    if (rows_ > 0) _tile_release();
  }

  int64_t rows_ = 0;  // that the tiles are configured for
};

}  // namespace

const MatmulKernel& AmxIntKernel(Quantization quantization) {
  static const MatmulKernel int8 = IntKernel(2000, PackIntRowsAvx512, RunIntPanels<Amx, Quantization::kInt8>);
  static const MatmulKernel int4 = IntKernel(1500, PackIntRowsAvx512, RunIntPanels<Amx, Quantization::kInt4>);
  return quantization == Quantization::kInt8 ? int8 : int4;
}

}  // namespace barista

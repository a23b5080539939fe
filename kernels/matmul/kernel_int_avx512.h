// What the two integer kernels of AVX-512 machines share.
#pragma once

#include <immintrin.h>

#include "kernels/matmul/kernel_int.h"

#define BARISTA_AVX512VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace barista {

inline constexpr int64_t kIntAheadBytes = 4096;  // prefetched; as far as the other kernels do

// kRows rows from `row` on, both halves of the panel.
template <int kRows>
BARISTA_AVX512VNNI inline void MultiplyVnniRows(const std::byte* n, const std::byte* x, int64_t row, int64_t rows,
                                                int64_t steps, IntSums& sums) {
  __m512i sum[kRows][kIntDigits][2];
#pragma GCC unroll 24
  for (int i = 0; i < kRows * 4; ++i) {
    sum[i / 4][i / 2 % 2][i % 2] = _mm512_load_si512(&sums.of[i / 2 % 2][row + i / 4][i % 2 * 16]);
  }
  x += row * kChunkBytes;
  for (int64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 2
    for (int64_t j = 0; j < kIntStep / 4; ++j) {
      const std::byte* quads = n + j * 64;
      _mm_prefetch(quads + kIntAheadBytes, _MM_HINT_T0);
      _mm_prefetch(quads + kIntAheadBytes + kIntStepBytes / 2, _MM_HINT_T0);
      const __m512i w0 = _mm512_load_si512(quads), w1 = _mm512_load_si512(quads + kIntStepBytes / 2);
#pragma GCC unroll 12
      for (int i = 0; i < kRows * 2; ++i) {
        const int r = i / 2, digit = i % 2;
        int32_t four;
        std::memcpy(&four, x + (digit * rows + r) * kChunkBytes + j * 4, sizeof(four));
        const __m512i quad = _mm512_set1_epi32(four);
        sum[r][digit][0] = _mm512_dpbusd_epi32(sum[r][digit][0], quad, w0);
        sum[r][digit][1] = _mm512_dpbusd_epi32(sum[r][digit][1], quad, w1);
      }
    }
    n += kIntStepBytes;
    x += rows * kIntDigits * kChunkBytes;
  }
#pragma GCC unroll 24
  for (int i = 0; i < kRows * 4; ++i) {
    _mm512_store_si512(&sums.of[i / 2 % 2][row + i / 4][i % 2 * 16], sum[i / 4][i / 2 % 2][i % 2]);
  }
}

// Six rows at a time: 24 of the 32 registers hold sums.
inline void MultiplyVnni(const std::byte* n, const std::byte* x, int64_t rows, int64_t steps, IntSums& sums) {
  constexpr int64_t kAtOnce = 6;
  using Rows = void (*)(const std::byte*, const std::byte*, int64_t, int64_t, int64_t, IntSums&);
  constexpr Rows kRows[kAtOnce + 1] = {nullptr,
                                       MultiplyVnniRows<1>,
                                       MultiplyVnniRows<2>,
                                       MultiplyVnniRows<3>,
                                       MultiplyVnniRows<4>,
                                       MultiplyVnniRows<5>,
                                       MultiplyVnniRows<6>};
  for (int64_t r = 0; r < rows; r += kAtOnce) kRows[std::min(kAtOnce, rows - r)](n, x, r, rows, steps, sums);
}

BARISTA_AVX512VNNI inline void UnpackAvx512(const std::byte* m, const std::byte* q, int64_t steps, std::byte* n) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int64_t s = 0; s < steps; ++s, m += kPanel) {
    __m512i multiplier[2][2], eight[2][2];  // [half][group]: m twice, 8 m four times an output
    for (int group = 0; group < 2; ++group) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(m + group * 16));
      const __m512i wide = _mm512_maskz_cvtepu8_epi32(0xffff, bytes);
      const __m512i of_half[2] = {_mm512_and_si512(wide, _mm512_set1_epi32(15)),
                                  _mm512_maskz_srli_epi32(0xffff, wide, 4)};
      for (int half = 0; half < 2; ++half) {
        const __m512i twice = _mm512_mullo_epi32(of_half[half], _mm512_set1_epi32(0x00010001));
        multiplier[half][group] = twice;
        eight[half][group] = _mm512_mullo_epi32(of_half[half], _mm512_set1_epi32(0x08080808));
      }
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half, q += kIntStepBytes / 4, n += kIntStepBytes / 2) {
#pragma GCC unroll 8
      for (int64_t j = 0; j < 8; ++j) {
        const __m512i both = _mm512_load_si512(q + j * 64);
        _mm_prefetch(q + j * 64 + kIntAheadBytes, _MM_HINT_T0);
        // Bytes up to 15 times 15: a product of pairs by one 16-bit multiplication carries nothing over.
        const __m512i q0 = _mm512_and_si512(both, low), q1 = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        _mm512_store_si512(n + j * 64, _mm512_sub_epi8(_mm512_mullo_epi16(q0, multiplier[half][0]), eight[half][0]));
        _mm512_store_si512(n + (j + 8) * 64,
                           _mm512_sub_epi8(_mm512_mullo_epi16(q1, multiplier[half][1]), eight[half][1]));
      }
    }
  }
}

BARISTA_AVX512VNNI inline void PackIntRowsAvx512(const float* x, int64_t stride, int64_t rows, int64_t in,
                                                 std::byte* packed) {
  PackIntRows(x, stride, rows, in, packed);
}

}  // namespace barista

// Bytes widened to 16 bits in registers, products of pairs by vpmaddwd: even and odd k of a quad apart.
#include <immintrin.h>

#include "kernels/matmul/kernel_int.h"

#define BARISTA_AVX2 __attribute__((target("avx2,fma")))

namespace barista {
namespace {

// 16 outputs, kRows rows from `row` on; x and n at the first step.
template <int kRows>
BARISTA_AVX2 void MultiplyHalf(const std::byte* n, const std::byte* x, int64_t row, int64_t rows, int64_t steps,
                               int64_t half, IntSums& sums) {
  const __m256i even = _mm256_set1_epi32(0x00ff00ff);
  __m256i sum[kRows][kIntDigits][2];
  const auto place = [&](int r, int digit, int v) {
    return reinterpret_cast<__m256i*>(&sums.of[digit][row + r][half * 16 + v * 8]);
  };
#pragma GCC unroll 8
  for (int i = 0; i < kRows * 4; ++i) sum[i / 4][i / 2 % 2][i % 2] = _mm256_load_si256(place(i / 4, i / 2 % 2, i % 2));
  n += half * (kIntStepBytes / 2);
  x += row * kChunkBytes;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t j = 0; j < kIntStep / 4; ++j) {
      __m256i w[2][2];
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const __m256i quads = _mm256_load_si256(reinterpret_cast<const __m256i*>(n + j * 64 + v * 32));
        w[v][0] = _mm256_srai_epi16(_mm256_slli_epi16(quads, 8), 8);
        w[v][1] = _mm256_srai_epi16(quads, 8);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kRows * 2; ++i) {
        const int r = i / 2, digit = i % 2;
        int32_t four;
        std::memcpy(&four, x + (digit * rows + r) * kChunkBytes + j * 4, sizeof(four));
        const __m256i quad = _mm256_set1_epi32(four);
        const __m256i x0 = _mm256_and_si256(quad, even), x1 = _mm256_srli_epi16(quad, 8);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          sum[r][digit][v] = _mm256_add_epi32(
              sum[r][digit][v], _mm256_add_epi32(_mm256_madd_epi16(x0, w[v][0]), _mm256_madd_epi16(x1, w[v][1])));
        }
      }
    }
    n += kIntStepBytes;
    x += rows * kIntDigits * kChunkBytes;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows * 4; ++i) _mm256_store_si256(place(i / 4, i / 2 % 2, i % 2), sum[i / 4][i / 2 % 2][i % 2]);
}

struct Avx2 {
  static void Multiply(const std::byte* n, const std::byte* x, int64_t rows, int64_t steps, bool /*stream*/,
                       IntSums& sums) {
    for (int64_t half = 0; half < 2; ++half) {
      int64_t r = 0;
      for (; r + 2 <= rows; r += 2) MultiplyHalf<2>(n, x, r, rows, steps, half, sums);
      if (r < rows) MultiplyHalf<1>(n, x, r, rows, steps, half, sums);
    }
  }

  BARISTA_AVX2 static void Unpack(const std::byte* m, const std::byte* q, int64_t steps, std::byte* n) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int64_t s = 0; s < steps; ++s, m += kPanel) {
      for (int64_t half = 0; half < 2; ++half, q += kIntStepBytes / 4, n += kIntStepBytes / 2) {
        for (int64_t v = 0; v < 2; ++v) {  // 8 outputs
          __m256i multiplier[2], eight[2];
          for (int64_t group = 0; group < 2; ++group) {
            const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(m + group * 16 + v * 8));
            __m256i wide = _mm256_cvtepu8_epi32(bytes);
            wide = half == 0 ? _mm256_and_si256(wide, _mm256_set1_epi32(15)) : _mm256_srli_epi32(wide, 4);
            multiplier[group] = _mm256_or_si256(wide, _mm256_slli_epi32(wide, 16));
            eight[group] =
                _mm256_slli_epi16(_mm256_or_si256(multiplier[group], _mm256_slli_epi16(multiplier[group], 8)), 3);
          }
          for (int64_t j = 0; j < 8; ++j) {
            const __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(q + j * 64 + v * 32));
            // Bytes up to 15 times 15: a product of pairs by one 16-bit multiplication carries nothing over.
            const __m256i q0 = _mm256_and_si256(both, low), q1 = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
            const __m256i n0 = _mm256_sub_epi8(_mm256_mullo_epi16(q0, multiplier[0]), eight[0]);
            const __m256i n1 = _mm256_sub_epi8(_mm256_mullo_epi16(q1, multiplier[1]), eight[1]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(n + j * 64 + v * 32), n0);
            _mm256_store_si256(reinterpret_cast<__m256i*>(n + (j + 8) * 64 + v * 32), n1);
          }
        }
      }
    }
  }
};

BARISTA_AVX2 void Pack(const float* x, int64_t stride, int64_t rows, int64_t in, std::byte* packed) {
  PackIntRows(x, stride, rows, in, packed);
}

}  // namespace

const MatmulKernel& Avx2IntKernel(Quantization quantization) {
  static const MatmulKernel int8 = IntKernel(30, Pack, RunIntPanels<Avx2, Quantization::kInt8>);
  static const MatmulKernel int4 = IntKernel(30, Pack, RunIntPanels<Avx2, Quantization::kInt4>);
  return quantization == Quantization::kInt8 ? int8 : int4;
}

}  // namespace barista

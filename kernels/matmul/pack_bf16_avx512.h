// Packs activations as bf16 for the two kernels that multiply bf16 pairs.
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "kernels/matmul/kernel_cpu.h"

namespace barista {

// Blocks of kRowBlock rows; rounded to nearest even.
template <int64_t kRowBlock>
__attribute__((target("avx512f,avx512bw,avx512bf16"))) void PackBf16Rows(const float* x, int64_t stride, int64_t rows,
                                                                         int64_t in, std::byte* packed) {
  constexpr int64_t kChunk = kChunkBytes / 2;
  for (int64_t first = 0; first < rows; first += kRowBlock) {
    const int64_t block = std::min(kRowBlock, rows - first);
    for (int64_t k = 0; k < in; k += kChunk) {
      const int64_t count = std::min(kChunk, in - k);
      const __mmask32 mask = count == kChunk ? ~0u : (1u << count) - 1;
      for (int64_t r = 0; r < block; ++r, packed += kChunkBytes) {
        const float* row = x + (first + r) * stride + k;
        const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), row);
        const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), row + 16);
        _mm512_storeu_si512(packed, (__m512i)_mm512_cvtne2ps_pbh(high, low));
      }
    }
  }
}

}  // namespace barista

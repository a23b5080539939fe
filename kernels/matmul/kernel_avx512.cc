// Weights of any type, widened to float in registers, by 512-bit fused multiply-adds.
#include <immintrin.h>

#include "kernels/matmul/float_panels.h"
#include "kernels/matmul/kernel_cpu.h"

#define BARISTA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))

namespace barista {
namespace {

constexpr int64_t kRowBlock = 12;  // 24 of the 32 registers hold sums
constexpr int64_t kFloats = kChunkBytes / 4;
constexpr int64_t kAheadBytes = 4096;

// The masked forms, with a full mask, are the plain instructions; gcc 12 warns of the plain intrinsics' own headers.
constexpr __mmask16 kAll = 0xffff;

BARISTA_AVX512 inline __m512 Load16(const float* p) { return _mm512_load_ps(p); }
BARISTA_AVX512 inline __m512 Load16(const Float16* p) {
  return _mm512_maskz_cvtph_ps(kAll, _mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}
BARISTA_AVX512 inline __m512 Load16(const BFloat16* p) {
  const __m512i wide = _mm512_maskz_cvtepu16_epi32(kAll, _mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, wide, 16));
}

// One panel, kRows rows, `chunks` chunks of k.
template <class W, int kRows>
BARISTA_AVX512 void RunBlock(const W* w, const float* x, int64_t chunks, const float* start, float* y,
                             int64_t y_stride) {
  __m512 sum[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    const float* from = start != nullptr ? start : y + r * y_stride;
    sum[r][0] = _mm512_loadu_ps(from);
    sum[r][1] = _mm512_loadu_ps(from + 16);
  }
  for (int64_t i = 0; i < chunks; ++i) {
#pragma GCC unroll 2
    for (int64_t j = 0; j < kFloats; ++j, w += kPanel) {
      _mm_prefetch(reinterpret_cast<const char*>(w) + kAheadBytes, _MM_HINT_T0);
      if (sizeof(W) == 4) _mm_prefetch(reinterpret_cast<const char*>(w) + kAheadBytes + 64, _MM_HINT_T0);
      const __m512 w0 = Load16(w);
      const __m512 w1 = Load16(w + 16);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512 b = _mm512_set1_ps(x[r * kFloats + j]);
        sum[r][0] = _mm512_fmadd_ps(b, w0, sum[r][0]);
        sum[r][1] = _mm512_fmadd_ps(b, w1, sum[r][1]);
      }
    }
    x += kRows * kFloats;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(y + r * y_stride, sum[r][0]);
    _mm512_storeu_ps(y + r * y_stride + 16, sum[r][1]);
  }
}

template <class W>
constexpr FloatBlock<W> kBlocks[kRowBlock + 1] = {
    nullptr,        RunBlock<W, 1>, RunBlock<W, 2>, RunBlock<W, 3>,  RunBlock<W, 4>,  RunBlock<W, 5>, RunBlock<W, 6>,
    RunBlock<W, 7>, RunBlock<W, 8>, RunBlock<W, 9>, RunBlock<W, 10>, RunBlock<W, 11>, RunBlock<W, 12>};

template <class W>
void Run(const PanelRun& run) {
  RunFloatPanels<W, kRowBlock>(run, kBlocks<W>);
}

}  // namespace

const MatmulKernel& Avx512Kernel(DType weights) {
  static const MatmulKernel f32 = {WeightLayout::kRows, kRowBlock, 4, 100, PackFloatRows<kRowBlock, false>, Run<float>};
  static const MatmulKernel f16 = {WeightLayout::kRows, kRowBlock, 4, 80, PackFloatRows<kRowBlock, false>,
                                   Run<Float16>};
  static const MatmulKernel bf16 = {WeightLayout::kRows, kRowBlock, 4, 80, PackFloatRows<kRowBlock, true>,
                                    Run<BFloat16>};
  return weights == DType::kF32 ? f32 : weights == DType::kF16 ? f16 : bf16;
}

}  // namespace barista

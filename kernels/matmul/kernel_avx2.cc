// Weights of any type, widened to float in registers, by 256-bit fused multiply-adds. Up to 3 rows read a panel whole;
// 4 to 6 rows read its two halves one after the other, so that the sums stay in 12 of the 16 registers.
#include <immintrin.h>

#include "kernels/matmul/float_panels.h"
#include "kernels/matmul/kernel_cpu.h"

#define BARISTA_AVX2 __attribute__((target("avx2,fma,f16c")))

namespace barista {
namespace {

constexpr int64_t kRowBlock = 6;
constexpr int64_t kFloats = kChunkBytes / 4;

BARISTA_AVX2 inline __m256 Load8(const float* p) { return _mm256_load_ps(p); }
BARISTA_AVX2 inline __m256 Load8(const Float16* p) {
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}
BARISTA_AVX2 inline __m256 Load8(const BFloat16* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

// kVectors * 8 columns of one panel, kRows rows, `chunks` chunks of k.
template <class W, int kRows, int kVectors>
BARISTA_AVX2 void RunColumns(const W* w, const float* x, int64_t chunks, const float* start, float* y,
                             int64_t y_stride) {
  __m256 sum[kRows][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    const float* from = start != nullptr ? start : y + r * y_stride;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm256_loadu_ps(from + v * 8);
  }
  for (int64_t i = 0; i < chunks; ++i) {
    for (int64_t j = 0; j < kFloats; ++j, w += kPanel) {
      __m256 wide[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) wide[v] = Load8(w + v * 8);
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const __m256 b = _mm256_set1_ps(x[r * kFloats + j]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm256_fmadd_ps(b, wide[v], sum[r][v]);
      }
    }
    x += kRows * kFloats;
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm256_storeu_ps(y + r * y_stride + v * 8, sum[r][v]);
  }
}

template <class W, int kRows>
void RunBlock(const W* w, const float* x, int64_t chunks, const float* start, float* y, int64_t y_stride) {
  if constexpr (kRows <= 3) {
    RunColumns<W, kRows, 4>(w, x, chunks, start, y, y_stride);
  } else {
    RunColumns<W, kRows, 2>(w, x, chunks, start, y, y_stride);
    RunColumns<W, kRows, 2>(w + 16, x, chunks, start != nullptr ? start + 16 : nullptr, y + 16, y_stride);
  }
}

template <class W>
constexpr FloatBlock<W> kBlocks[kRowBlock + 1] = {nullptr,        RunBlock<W, 1>, RunBlock<W, 2>, RunBlock<W, 3>,
                                                  RunBlock<W, 4>, RunBlock<W, 5>, RunBlock<W, 6>};

template <class W>
void Run(const PanelRun& run) {
  RunFloatPanels<W, kRowBlock>(run, kBlocks<W>);
}

}  // namespace

const MatmulKernel& Avx2Kernel(DType weights) {
  static const MatmulKernel f32 = {WeightLayout::kRows, kRowBlock, 4, 50, PackFloatRows<kRowBlock, false>, Run<float>};
  static const MatmulKernel f16 = {WeightLayout::kRows, kRowBlock, 4, 40, PackFloatRows<kRowBlock, false>,
                                   Run<Float16>};
  static const MatmulKernel bf16 = {WeightLayout::kRows, kRowBlock, 4, 40, PackFloatRows<kRowBlock, true>,
                                    Run<BFloat16>};
  return weights == DType::kF32 ? f32 : weights == DType::kF16 ? f16 : bf16;
}

}  // namespace barista

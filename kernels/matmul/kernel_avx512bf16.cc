// bf16 by vdpbf16ps (Zen 4 and later): 16 outputs x one pair of k an instruction.
#include <immintrin.h>

#include <cstring>

#include "kernels/matmul/kernel_cpu.h"
#include "kernels/matmul/pack_bf16_avx512.h"

#define BARISTA_AVX512BF16 __attribute__((target("avx512f,avx512bw,avx512bf16")))

namespace barista {
namespace {

constexpr int64_t kRowBlock = 12;  // 24 of the 32 registers hold sums
constexpr int64_t kStepBytes = 2048;

// One panel, kRows rows.
template <int kRows>
BARISTA_AVX512BF16 void RunBlock(const std::byte* w, const std::byte* x, int64_t steps, const float* start, float* y,
                                 int64_t y_stride) {
  __m512 sum[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    const float* from = start != nullptr ? start : y + r * y_stride;
    sum[r][0] = _mm512_loadu_ps(from);
    sum[r][1] = _mm512_loadu_ps(from + 16);
  }
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < 16; ++j) {
      const std::byte* pair = w + j * 64;
      _mm_prefetch(pair + 2 * kStepBytes, _MM_HINT_T0);
      _mm_prefetch(pair + 2 * kStepBytes + 1024, _MM_HINT_T0);
      const __m512bh w0 = (__m512bh)_mm512_load_si512(pair);
      const __m512bh w1 = (__m512bh)_mm512_load_si512(pair + 1024);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        int32_t two;
        std::memcpy(&two, x + r * kChunkBytes + j * 4, 4);
        const __m512bh b = (__m512bh)_mm512_set1_epi32(two);
        sum[r][0] = _mm512_dpbf16_ps(sum[r][0], b, w0);
        sum[r][1] = _mm512_dpbf16_ps(sum[r][1], b, w1);
      }
    }
    w += kStepBytes;
    x += kRows * kChunkBytes;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(y + r * y_stride, sum[r][0]);
    _mm512_storeu_ps(y + r * y_stride + 16, sum[r][1]);
  }
}

using BlockFunction = void (*)(const std::byte*, const std::byte*, int64_t, const float*, float*, int64_t);
constexpr BlockFunction kBlocks[kRowBlock + 1] = {nullptr,      RunBlock<1>,  RunBlock<2>, RunBlock<3>, RunBlock<4>,
                                                  RunBlock<5>,  RunBlock<6>,  RunBlock<7>, RunBlock<8>, RunBlock<9>,
                                                  RunBlock<10>, RunBlock<11>, RunBlock<12>};

void Run(const PanelRun& run) {
  const int64_t first_step = run.begin / 32, steps = (run.end - run.begin) / 32;
  for (int64_t p = 0; p < run.panels; ++p) {
    const std::byte* w = run.weights + p * run.depth * kPanel * 2 + first_step * kStepBytes;
    const float* start = run.start != nullptr ? run.start + p * kPanel : nullptr;
    for (int64_t r = 0; r < run.rows; r += kRowBlock) {
      const int64_t rows = std::min(kRowBlock, run.rows - r);
      const std::byte* x = run.x + r * run.depth * 2 + first_step * rows * kChunkBytes;
      kBlocks[rows](w, x, steps, start, run.y + r * run.y_stride + p * kPanel, run.y_stride);
    }
  }
}

}  // namespace

const MatmulKernel& Avx512Bf16Kernel() {
  static const MatmulKernel kernel = {WeightLayout::kPairs, kRowBlock, 2, 200, PackBf16Rows<kRowBlock>, Run};
  return kernel;
}

}  // namespace barista

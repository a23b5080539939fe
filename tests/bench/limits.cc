#include "tests/bench/limits.h"

#include <immintrin.h>
#include <time.h>

#include <algorithm>
#include <chrono>

namespace barista::bench {
namespace {

// Wide enough for every instruction set: the compiler cuts it where registers are smaller.
using Word = uint64_t __attribute__((vector_size(64)));

__attribute__((target_clones("avx512f", "avx2", "default"))) void ReadAll(const std::byte* data, int64_t bytes) {
  Word sum[4] = {};
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 4; ++j) {
      __builtin_prefetch(data + i + j * 64 + 4096);
      sum[j] ^= *reinterpret_cast<const Word*>(data + i + j * 64);
    }
  }
  sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
  uint64_t result = 0;
  for (int i = 0; i < 8; ++i) result ^= sum[0][i];
  asm volatile("" : : "r"(result));
}

constexpr int64_t kLoops = 200000;

double PortableFlops() {
  __m128 sum[12] = {};
  const __m128 a = _mm_set1_ps(1.0001f);
  for (int64_t i = 0; i < kLoops; ++i) {
#pragma GCC unroll 12
    for (__m128& s : sum) {
      s = _mm_add_ps(s, _mm_mul_ps(a, a));
      asm volatile("" : "+x"(s));
    }
  }
  return static_cast<double>(kLoops) * 12 * 8;
}

__attribute__((target("avx2,fma"))) double Avx2Flops() {
  __m256 sum[12] = {};
  const __m256 a = _mm256_set1_ps(1.0001f);
  for (int64_t i = 0; i < kLoops; ++i) {
#pragma GCC unroll 12
    for (__m256& s : sum) {
      s = _mm256_fmadd_ps(s, a, a);
      asm volatile("" : "+x"(s));
    }
  }
  return static_cast<double>(kLoops) * 12 * 16;
}

__attribute__((target("avx512f"))) double Avx512Flops() {
  __m512 sum[16] = {};
  const __m512 a = _mm512_set1_ps(1.0001f);
  for (int64_t i = 0; i < kLoops; ++i) {
#pragma GCC unroll 16
    for (__m512& s : sum) {
      s = _mm512_fmadd_ps(s, a, a);
      asm volatile("" : "+v"(s));
    }
  }
  return static_cast<double>(kLoops) * 16 * 32;
}

__attribute__((target("avx512f,avx512bf16"))) double PairFlops() {
  __m512 sum[16] = {};
  const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80);
  for (int64_t i = 0; i < kLoops; ++i) {
#pragma GCC unroll 16
    for (__m512& s : sum) {
      s = _mm512_dpbf16_ps(s, a, a);
      asm volatile("" : "+v"(s));
    }
  }
  return static_cast<double>(kLoops) * 16 * 64;
}

__attribute__((target("amx-tile,amx-bf16"))) double TileFlops() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
  for (int64_t i = 0; i < kLoops; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(kLoops) * 4 * 2 * 16 * 16 * 32;
}

}  // namespace

double ReadRate(ThreadPool& pool, const Buffer& buffer, int64_t bytes, Clock clock) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  const double begin = clock();
  pool.For(bytes / kPiece, [&](int64_t i, int) { ReadAll(buffer.data() + i * kPiece, kPiece); });
  return static_cast<double>(bytes) / (clock() - begin);
}

double PeakRate(ThreadPool& pool, CpuIsa isa, DType dtype, Clock clock) {
  double (*flops)() = isa >= CpuIsa::kAvx512 ? Avx512Flops : isa == CpuIsa::kAvx2 ? Avx2Flops : PortableFlops;
  if (dtype == DType::kBF16 && isa == CpuIsa::kAvx512Bf16) flops = PairFlops;
  if (dtype == DType::kBF16 && isa == CpuIsa::kAmx) flops = TileFlops;
  std::vector<double> each(pool.threads());
  const double begin = clock();
  pool.For(pool.threads(), [&](int64_t i, int) { each[i] = flops(); });
  double all = 0;
  for (const double f : each) all += f;
  return all / (clock() - begin);
}

double Quantile(std::vector<double> values, double share) {
  const auto at = values.begin() + static_cast<int64_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double ThreadTime() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace barista::bench

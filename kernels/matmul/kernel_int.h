// The inner loops of Linear on a CPU for quantised weights (quantize.h): in integers, whose sums are exact.
//
// Arithmetic: a row of activations becomes 16-bit fixed point with a power of two of its own: x[k] ~ step X[k], the
// largest |X| in [2^14, 2^15], to nearest even. Then
//   y[o] (+)= step scale[o] (256 H + L),  H = sum of (high[k] - 128) n[o, k],  L = sum of low[k] n[o, k]
// with the bytes of X + 2^15 = 256 high + low. H and L fit 32 bits up to kIntInMax inputs, so no order of adding,
// number of rows, instruction set or thread can change a bit. One conversion to float of each, one addition, and
// one multiplication round. A row with a value that is not finite has the step NaN.
//
// Weights lie in panels of 32 outputs, `depth` being `in` rounded up to whole steps of 64:
//   float scale [32], int32 start [32] (-128 times the sum of n: where H starts),
//   int8: int8 n  [depth / 64][2 halves][16 quads of k][16 outputs][4]: an AMX tile is 1 KiB of it
//   int4: m       [depth / 32][16], output i of the first half in the low four bits, of the second in the high ones
//         q + 8   [depth / 64][2 halves][8][16 outputs][4], quad j in the low four bits, quad j + 8 in the high ones
// Activations: row blocks of 16 rows, 64 bytes (the step first) and 2 depth for each row:
//   [row block]{ [row][64 bytes], [depth / 64][high, low][row][64 bytes] }
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/matmul/kernel_cpu.h"
#include "kernels/matmul/quantize.h"

namespace barista {

inline constexpr int64_t kIntInMax = 65536;
inline constexpr int64_t kIntRowBlock = 16;
inline constexpr int64_t kIntStep = 64;                       // k
inline constexpr int64_t kIntStepBytes = kIntStep * kPanel;   // of n
inline constexpr int64_t kIntDigits = 2;                      // high, low
inline constexpr int64_t kIntHeaderBytes = kPanel * (4 + 4);  // scales, starts

// Where the parts of a panel lie.
struct IntPanel {
  constexpr IntPanel(Quantization quantization, int64_t depth) : int4(quantization == Quantization::kInt4) {
    weights = kIntHeaderBytes + (int4 ? (depth / kQuantizedGroup * (kPanel / 2) + 63) / 64 * 64 : 0);
    bytes = weights + depth * kPanel / (int4 ? 2 : 1);
  }
  bool int4;
  int64_t weights;  // offset
  int64_t bytes;
};

// Sums of one row block and panel.
struct IntSums {
  alignas(64) int32_t of[kIntDigits][kIntRowBlock][kPanel];
};

// What an instruction set provides, as static members:
//   void Multiply(const std::byte* n, const std::byte* x, int64_t rows, int64_t steps, bool stream, IntSums& sums)
//     sums += products over `steps` steps, rows in [1, 16] of a block of as many. stream: the weights come from memory
//     and those behind them are wanted next. Not static where a kernel holds a unit for the time of a run.
//   void Unpack(const std::byte* m, const std::byte* q, int64_t steps, std::byte* n)
//     int4 to int8.

std::byte* UnpackedPanel(int64_t bytes);  // of the calling thread, aligned to 64

// As MatmulKernel::run; all of depth in one call.
template <class Isa, Quantization kQuantization>
void RunIntPanels(const PanelRun& run) {
  constexpr bool kInt4 = kQuantization == Quantization::kInt4;
  constexpr int64_t kCachedSteps = 8;  // of unpacked weights, in the first cache
  const IntPanel panel(kQuantization, run.depth);
  const int64_t steps = run.depth / kIntStep;
  Isa isa;
  std::byte* unpacked = kInt4 ? UnpackedPanel(run.depth * kPanel) : nullptr;
  const bool once = run.rows <= kIntRowBlock;
  const int64_t at_once = kInt4 && once ? kCachedSteps : steps;
  for (int64_t p = 0; p < run.panels; ++p) {
    const std::byte* weights = run.weights + p * panel.bytes;
    const float* scales = reinterpret_cast<const float*>(weights);
    const std::byte* starts = weights + kPanel * 4;
    const auto unpack = [&](int64_t first, int64_t count) {
      isa.Unpack(weights + kIntHeaderBytes + first * kPanel, weights + panel.weights + first * kIntStepBytes / 2, count,
                 unpacked);
    };
    if (kInt4 && !once) unpack(0, steps);
    for (int64_t r = 0; r < run.rows; r += kIntRowBlock) {
      const int64_t rows = std::min(kIntRowBlock, run.rows - r);
      const std::byte* block = run.x + r * (run.depth * kIntDigits + kChunkBytes);
      const std::byte* x = block + rows * kChunkBytes;
      IntSums sums;
      std::memset(sums.of[1], 0, rows * sizeof(sums.of[1][0]));
      for (int64_t i = 0; i < rows; ++i) std::memcpy(sums.of[0][i], starts, sizeof(sums.of[0][i]));
      for (int64_t first = 0; first < steps; first += at_once) {
        const int64_t count = std::min(at_once, steps - first);
        if (kInt4 && once) unpack(first, count);
        isa.Multiply(kInt4 ? unpacked : weights + panel.weights, x + first * rows * kIntDigits * kChunkBytes, rows,
                     count, !kInt4 && once, sums);
      }
      for (int64_t i = 0; i < rows; ++i) {
        float step;
        std::memcpy(&step, block + i * kChunkBytes, sizeof(step));
        float* y = run.y + (r + i) * run.y_stride + p * kPanel;
        const float* start = run.start != nullptr ? run.start + p * kPanel : y;
        for (int64_t o = 0; o < kPanel; ++o) {
          const float sum = 256.0f * static_cast<float>(sums.of[0][i][o]) + static_cast<float>(sums.of[1][i][o]);
          y[o] = start[o] + sum * (step * scales[o]);
        }
      }
    }
  }
}

// As MatmulKernel::pack. Compiled for each instruction set by the functions that call it.
__attribute__((always_inline)) inline void PackIntRows(const float* x, int64_t stride, int64_t rows, int64_t in,
                                                       std::byte* packed) {
  constexpr uint32_t kInfinity = 0x7f800000;
  constexpr int32_t kExponentMin = -100;  // rows of smaller values are zeros
  constexpr float kMagic = 12582912.0f;   // 1.5 * 2^23: what is added to it is rounded to an integer
  const int64_t steps = (in + kIntStep - 1) / kIntStep;
  for (int64_t first = 0; first < rows; first += kIntRowBlock) {
    const int64_t block = std::min(kIntRowBlock, rows - first);
    for (int64_t r = 0; r < block; ++r) {
      const float* row = x + (first + r) * stride;
      uint32_t most = 0;
      for (int64_t k = 0; k < in; ++k) most = std::max(most, std::bit_cast<uint32_t>(row[k]) & 0x7fffffffu);
      const int32_t exponent = std::max(static_cast<int32_t>(most >> 23) - 127, kExponentMin);
      const bool finite = most < kInfinity;
      const float step = std::bit_cast<float>(finite ? static_cast<uint32_t>(exponent - 14 + 127) << 23 : 0x7fc00000u);
      const float inverse = finite ? std::bit_cast<float>(static_cast<uint32_t>(14 - exponent + 127) << 23) : 0.0f;
      std::memset(packed + r * kChunkBytes, 0, kChunkBytes);
      std::memcpy(packed + r * kChunkBytes, &step, sizeof(step));
      uint8_t* high = reinterpret_cast<uint8_t*>(packed) + (block + r) * kChunkBytes;
      for (int64_t s = 0; s < steps; ++s, high += block * kIntDigits * kChunkBytes) {
        uint8_t* low = high + block * kChunkBytes;
        float values[kIntStep] = {};
        std::copy_n(row + s * kIntStep, std::min(kIntStep, in - s * kIntStep), values);
        for (int64_t i = 0; i < kIntStep; ++i) {
          // The product is exact. The integer, with 2^15 added, lies in the sum's low bits. NaN compares false.
          const float value = values[i] * inverse < 32767.0f ? values[i] * inverse : 32767.0f;
          const uint32_t bits = std::bit_cast<uint32_t>(value + (kMagic + 32768.0f));
          high[i] = static_cast<uint8_t>(bits >> 8);
          low[i] = static_cast<uint8_t>(bits);
        }
      }
    }
    packed += block * (kChunkBytes + steps * kIntDigits * kChunkBytes);
  }
}

inline MatmulKernel IntKernel(double flops_per_ns, decltype(MatmulKernel::pack) pack, decltype(MatmulKernel::run) run) {
  return {WeightLayout::kIntegers, kIntRowBlock, kIntDigits, flops_per_ns, pack, run, kIntStep, kChunkBytes};
}

// The kernel of weights with `quantization`, int8 or int4. One a file.
const MatmulKernel& SelectIntKernel(CpuIsa isa, Quantization quantization);
const MatmulKernel& AmxIntKernel(Quantization quantization);
const MatmulKernel& VnniIntKernel(Quantization quantization);  // AVX-512
const MatmulKernel& Avx2IntKernel(Quantization quantization);
const MatmulKernel& PortableIntKernel(Quantization quantization);

}  // namespace barista

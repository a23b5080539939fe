// The inner loops of Linear on a CPU, one set for each element type of the weights and each instruction set, and the
// packed forms that they read.
//
// Weights lie in panels of 32 outputs, in the order the loop reads them, one stream from the first byte to the last:
//   kRows   [panel][k][32]                                  f32, f16, bf16 where no instruction multiplies bf16
//   kPairs  [panel][k / 32][2 halves][16 pairs][16][2]      bf16 for dot products of pairs: an AMX tile is 1 KiB of it
//   kIntegers  quantised weights: kernel_int.h, which also says what differs in their activations and arithmetic
// Activations are cut into row blocks of `row_block` rows; inside one, 64 bytes of each row follow each other:
//   [row block][depth in chunks of 64 bytes][row of the block][64 bytes]
// The last block of a matrix may have fewer rows, and is packed with just those. `depth` is `in` rounded up to whole
// chunks; the rest holds zeros in weights and activations both.
//
// Arithmetic: bf16 weights multiply activations rounded to bf16, others multiply float; sums are float, and each
// output has one sum, which starts from `start` or y and takes the products in the order of k. So neither row block,
// panel, thread nor the cut of depth into several calls changes a bit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/dtype.h"

namespace barista {

inline constexpr int64_t kPanel = 32;       // outputs
inline constexpr int64_t kChunkBytes = 64;  // of one row of packed activations

enum class WeightLayout : uint8_t { kRows, kPairs, kIntegers };

// y[r, 32 p + i] (+)= sum of k in [begin, end) over rows [0, rows) and panels [0, panels).
struct PanelRun {
  const std::byte* weights = nullptr;  // the first panel, from k = 0
  int64_t panels = 0;
  const std::byte* x = nullptr;  // packed, from the first row of a block and k = 0
  int64_t rows = 0;
  int64_t depth = 0;             // of weights and x
  int64_t begin = 0;             // multiples of a chunk
  int64_t end = 0;               // kIntegers: all of depth in one call
  const float* start = nullptr;  // [panels * 32] where the sums start (bias or zeros); null: they start from y
  float* y = nullptr;            // all 32 columns of each panel exist
  int64_t y_stride = 0;          // elements
};

struct MatmulKernel {
  WeightLayout layout = WeightLayout::kRows;
  int64_t row_block = 1;
  int64_t x_bytes = 4;      // of one packed activation
  double flops_per_ns = 1;  // rough, one core: for cutting work into items
  // Packs rows [0, rows) of x [rows, in], which lie `stride` elements apart.
  void (*pack)(const float* x, int64_t stride, int64_t rows, int64_t in, std::byte* packed) = nullptr;
  void (*run)(const PanelRun& run) = nullptr;
  int64_t chunk = kChunkBytes / x_bytes;  // of k
  int64_t x_header = 0;                   // bytes of a packed row beside its activations

  int64_t Depth(int64_t in) const { return (in + chunk - 1) / chunk * chunk; }
  int64_t RowBytes(int64_t depth) const { return depth * x_bytes + x_header; }  // of a packed row
};

// The kernel for weights of f32, f16 or bf16. `isa` must be one that this machine has.
const MatmulKernel& SelectKernel(CpuIsa isa, DType weights);

// One table a file.
const MatmulKernel& AmxKernel();         // bf16
const MatmulKernel& Avx512Bf16Kernel();  // bf16
const MatmulKernel& Avx512Kernel(DType weights);
const MatmulKernel& Avx2Kernel(DType weights);
const MatmulKernel& PortableKernel(DType weights);

// The packings of float activations in blocks of `kRowBlock`: as they are, or rounded to bf16 but kept as float.
template <int64_t kRowBlock, bool kRound>
void PackFloatRows(const float* x, int64_t stride, int64_t rows, int64_t in, std::byte* packed) {
  constexpr int64_t kFloats = kChunkBytes / 4;
  float* out = reinterpret_cast<float*>(packed);
  for (int64_t first = 0; first < rows; first += kRowBlock) {
    const int64_t block = std::min(kRowBlock, rows - first);
    for (int64_t k = 0; k < in; k += kFloats) {
      const int64_t count = std::min(kFloats, in - k);
      for (int64_t r = 0; r < block; ++r, out += kFloats) {
        const float* row = x + (first + r) * stride + k;
        for (int64_t i = 0; i < count; ++i) out[i] = kRound ? ToFloat(ToBFloat16(row[i])) : row[i];
        for (int64_t i = count; i < kFloats; ++i) out[i] = 0;
      }
    }
  }
}

}  // namespace barista

// Quads of bytes by vpdpbusd on 512-bit registers: 16 outputs x one quad of k an instruction.
#include "kernels/matmul/kernel_int_avx512.h"

namespace barista {
namespace {

struct Vnni {
  static void Multiply(const std::byte* n, const std::byte* x, int64_t rows, int64_t steps, bool /*stream*/,
                       IntSums& sums) {
    MultiplyVnni(n, x, rows, steps, sums);
  }
  static void Unpack(const std::byte* m, const std::byte* q, int64_t steps, std::byte* n) {
    UnpackAvx512(m, q, steps, n);
  }
};

}  // namespace

const MatmulKernel& VnniIntKernel(Quantization quantization) {
  static const MatmulKernel int8 = IntKernel(200, PackIntRowsAvx512, RunIntPanels<Vnni, Quantization::kInt8>);
  static const MatmulKernel int4 = IntKernel(150, PackIntRowsAvx512, RunIntPanels<Vnni, Quantization::kInt4>);
  return quantization == Quantization::kInt8 ? int8 : int4;
}

}  // namespace barista

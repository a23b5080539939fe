// Plain loops for any machine, and the choice between the integer kernels.
#include <memory>

#include "kernels/matmul/kernel_int.h"

namespace barista {
namespace {

struct Portable {
  static void Multiply(const std::byte* n, const std::byte* x, int64_t rows, int64_t steps, bool /*stream*/,
                       IntSums& sums) {
    const int8_t* weights = reinterpret_cast<const int8_t*>(n);
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(x);
    for (int64_t s = 0; s < steps; ++s, weights += kIntStepBytes) {
      for (int64_t digit = 0; digit < kIntDigits; ++digit) {
        for (int64_t r = 0; r < rows; ++r, bytes += kChunkBytes) {
          for (int64_t half = 0; half < 2; ++half) {
            int32_t* sum = &sums.of[digit][r][half * 16];
            for (int64_t k = 0; k < kIntStep; ++k) {
              const int8_t* w = weights + half * (kIntStepBytes / 2) + k / 4 * 64 + k % 4;
              for (int64_t o = 0; o < 16; ++o) sum[o] += bytes[k] * w[o * 4];
            }
          }
        }
      }
    }
  }

  static void Unpack(const std::byte* m, const std::byte* q, int64_t steps, std::byte* n) {
    const uint8_t* multipliers = reinterpret_cast<const uint8_t*>(m);
    const uint8_t* packed = reinterpret_cast<const uint8_t*>(q);
    int8_t* to = reinterpret_cast<int8_t*>(n);
    for (int64_t s = 0; s < steps; ++s, multipliers += kPanel) {
      for (int64_t half = 0; half < 2; ++half, to += kIntStepBytes / 2) {
        for (int64_t i = 0; i < kIntStepBytes / 4; ++i, ++packed) {
          const int output = static_cast<int>(i / 4 % 16), shift = half == 0 ? 0 : 4;
          to[i] = static_cast<int8_t>(((*packed & 15) - 8) * (multipliers[output] >> shift & 15));
          to[i + kIntStepBytes / 4] =
              static_cast<int8_t>(((*packed >> 4) - 8) * (multipliers[16 + output] >> shift & 15));
        }
      }
    }
  }
};

void Pack(const float* x, int64_t stride, int64_t rows, int64_t in, std::byte* packed) {
  PackIntRows(x, stride, rows, in, packed);
}

}  // namespace

std::byte* UnpackedPanel(int64_t bytes) {
  struct Line {
    alignas(64) std::byte of[64];
  };
  thread_local std::unique_ptr<Line[]> area;
  thread_local int64_t size = 0;
  if (bytes > size) {
    area.reset(new Line[bytes / sizeof(Line)]);
    size = bytes;
  }
  return area[0].of;
}

const MatmulKernel& PortableIntKernel(Quantization quantization) {
  static const MatmulKernel int8 = IntKernel(5, Pack, RunIntPanels<Portable, Quantization::kInt8>);
  static const MatmulKernel int4 = IntKernel(5, Pack, RunIntPanels<Portable, Quantization::kInt4>);
  return quantization == Quantization::kInt8 ? int8 : int4;
}

const MatmulKernel& SelectIntKernel(CpuIsa isa, Quantization quantization) {
  switch (isa) {
    case CpuIsa::kAmx:
      return AmxIntKernel(quantization);
    case CpuIsa::kAvx512Bf16:
      return VnniIntKernel(quantization);
    case CpuIsa::kAvx512:
      if (__builtin_cpu_supports("avx512vnni")) return VnniIntKernel(quantization);
      [[fallthrough]];
    case CpuIsa::kAvx2:
      return Avx2IntKernel(quantization);
    case CpuIsa::kPortable:
      break;
  }
  return PortableIntKernel(quantization);
}

}  // namespace barista

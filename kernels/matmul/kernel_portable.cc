// Plain loops for any machine, and the choice between the kernels.
#include "kernels/matmul/kernel_cpu.h"

namespace barista {
namespace {

inline float Widen(float x) { return x; }
inline float Widen(BFloat16 x) { return ToFloat(x); }
inline float Widen(Float16 x) { return ToFloat(x); }

template <class W>
void Run(const PanelRun& run) {
  const W* weights = reinterpret_cast<const W*>(run.weights);
  const float* packed = reinterpret_cast<const float*>(run.x);
  for (int64_t p = 0; p < run.panels; ++p) {
    const W* panel = weights + p * run.depth * kPanel;
    for (int64_t r = 0; r < run.rows; ++r) {
      const float* x = packed + r * run.depth;
      float* y = run.y + r * run.y_stride + p * kPanel;
      float sum[kPanel];
      std::copy_n(run.start != nullptr ? run.start + p * kPanel : y, kPanel, sum);
      for (int64_t k = run.begin; k < run.end; ++k) {
        const W* w = panel + k * kPanel;
        for (int64_t i = 0; i < kPanel; ++i) sum[i] += x[k] * Widen(w[i]);
      }
      std::copy_n(sum, kPanel, y);
    }
  }
}

}  // namespace

const MatmulKernel& PortableKernel(DType weights) {
  static const MatmulKernel f32 = {WeightLayout::kRows, 1, 4, 10, PackFloatRows<1, false>, Run<float>};
  static const MatmulKernel f16 = {WeightLayout::kRows, 1, 4, 1, PackFloatRows<1, false>, Run<Float16>};
  static const MatmulKernel bf16 = {WeightLayout::kRows, 1, 4, 5, PackFloatRows<1, true>, Run<BFloat16>};
  return weights == DType::kF32 ? f32 : weights == DType::kF16 ? f16 : bf16;
}

const MatmulKernel& SelectKernel(CpuIsa isa, DType weights) {
  switch (isa) {
    case CpuIsa::kAmx:
      return weights == DType::kBF16 ? AmxKernel() : Avx512Kernel(weights);
    case CpuIsa::kAvx512Bf16:
      return weights == DType::kBF16 ? Avx512Bf16Kernel() : Avx512Kernel(weights);
    case CpuIsa::kAvx512:
      return Avx512Kernel(weights);
    case CpuIsa::kAvx2:
      return Avx2Kernel(weights);
    case CpuIsa::kPortable:
      break;
  }
  return PortableKernel(weights);
}

}  // namespace barista

#include <limits>

#include "kernels/activation/activation.h"
#include "kernels/math/isa.h"

#define BARISTA_KERNEL_FILE "kernels/activation/activation_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void MlpActivationCpu(const MlpActivationArgs& args) {
  Pick(avx512::MlpActivation, avx2::MlpActivation, portable::MlpActivation)(args);
}

void GeluCpu(const GeluArgs& args) {
  MlpActivationCpu({.act = Activation::kGelu, .gate = {}, .up = args.x, .y = args.y});
}

void GluCpu(const GluArgs& args) { Pick(avx512::Glu, avx2::Glu, portable::Glu)(args); }

void AddCpu(const AddArgs& args) { Pick(avx512::Add, avx2::Add, portable::Add)(args); }

void SoftcapCpu(const SoftcapArgs& args) { Pick(avx512::Softcap, avx2::Softcap, portable::Softcap)(args); }

void GroupSoftmaxCpu(const GroupSoftmaxArgs& args) {
  Pick(avx512::GroupSoftmax, avx2::GroupSoftmax, portable::GroupSoftmax)(args);
}

}  // namespace barista

#include <cmath>

#include "kernels/math/isa.h"
#include "kernels/norm/norm.h"

#define BARISTA_KERNEL_FILE "kernels/norm/norm_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void NormCpu(const NormArgs& args) { Pick(avx512::Norm, avx2::Norm, portable::Norm)(args); }

}  // namespace barista

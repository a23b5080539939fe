#include <algorithm>
#include <cstring>

#include "kernels/math/angles.h"
#include "kernels/math/isa.h"
#include "kernels/math/scratch.h"
#include "kernels/rotary/rotary.h"

#define BARISTA_KERNEL_FILE "kernels/rotary/rotary_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void RotateCpu(const RotateArgs& args) { Pick(avx512::Rotate, avx2::Rotate, portable::Rotate)(args); }

}  // namespace barista

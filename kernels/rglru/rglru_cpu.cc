#include <algorithm>

#include "kernels/chain.h"
#include "kernels/math/isa.h"
#include "kernels/rglru/rglru.h"

#define BARISTA_KERNEL_FILE "kernels/rglru/rglru_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void RglruCpu(const RglruArgs& args, int64_t begin, int64_t end) {
  Pick(avx512::Rglru, avx2::Rglru, portable::Rglru)(args, begin, end);
}

}  // namespace barista

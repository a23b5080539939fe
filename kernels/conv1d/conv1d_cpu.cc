#include <algorithm>

#include "kernels/chain.h"
#include "kernels/conv1d/conv1d.h"
#include "kernels/math/isa.h"

#define BARISTA_KERNEL_FILE "kernels/conv1d/conv1d_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void Conv1dCpu(const Conv1dArgs& args, int64_t begin, int64_t end) {
  Pick(avx512::Conv1d, avx2::Conv1d, portable::Conv1d)(args, begin, end);
}

}  // namespace barista

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/chain.h"
#include "kernels/math/isa.h"
#include "kernels/math/scratch.h"
#include "kernels/window_attention/window_attention.h"

#define BARISTA_KERNEL_FILE "kernels/window_attention/window_attention_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void WindowAttentionCpu(const WindowAttentionArgs& args, const Segment& segment, int64_t g) {
  Pick(avx512::WindowAttention, avx2::WindowAttention, portable::WindowAttention)(args, segment, g);
}

}  // namespace barista

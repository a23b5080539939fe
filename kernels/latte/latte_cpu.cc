#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/chain.h"
#include "kernels/latte/dither.h"
#include "kernels/latte/latte.h"
#include "kernels/math/isa.h"
#include "kernels/math/scratch.h"

#define BARISTA_KERNEL_FILE "kernels/latte/latte_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void LatteCpu(const LatteArgs& args, const Segment& segment, int64_t g) {
  Pick(avx512::Latte, avx2::Latte, portable::Latte)(args, segment, g);
}

void BidirectionalLatteCpu(const BidirectionalLatteArgs& args, const Segment& segment, int64_t g) {
  Pick(avx512::BidirectionalLatte, avx2::BidirectionalLatte, portable::BidirectionalLatte)(args, segment, g);
}

}  // namespace barista

// What of a card decides how its work is cut. Never bits.
#pragma once

#include <cstddef>

namespace barista {

struct CudaCard {
  int multiprocessors = 1;
  size_t shared_max = 99 << 10;  // bytes of shared memory that a block may have; sm_80 and later have at least these
  // Whether warpgroups multiply (wgmma), with the bits of warps.
  bool warpgroups = false;
};

}  // namespace barista

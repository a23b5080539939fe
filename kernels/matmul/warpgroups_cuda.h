// The check at start whether a card's warpgroups may multiply in place of its warps.
#pragma once

#include "absl/status/statusor.h"
#include "kernels/cuda/card.h"
#include "kernels/cuda/queue.h"

namespace barista {

// A product of random rows of many magnitudes, by warps (mma.sync) and by warpgroups (wgmma): whether their bits are
// equal. False where this build has no code for the card's warpgroups. NVIDIA promises no order of sums, so it is
// tried. `card`: large enough for both. Errors: of the queue.
absl::StatusOr<bool> WarpgroupsMultiplyAlike(const CudaCard& card, CudaQueue& queue);

}  // namespace barista

// The check at start that this machine keeps the promise of matmul.h.
#pragma once

#include "absl/status/status.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"

namespace barista {

// Small products of each weight type and quantisation, by rows alone and together. INTERNAL where a row's bits depend
// on its neighbours. Takes about a millisecond.
absl::Status CheckRowBits(CpuIsa isa, ThreadPool& pool);

}  // namespace barista

// The executor of launches on the calling thread.
#pragma once

#include <string>

#include "cuda_runtime.h"

namespace barista::shim {

// Runs call(context) in every thread of every block of the grid. Empty, or what was wrong and where. overlaps: every
// thread has to wait for the grid before.
std::string RunGrid(dim3 grid, dim3 block, size_t shared, bool overlaps, void (*call)(void*), void* context);

}  // namespace barista::shim

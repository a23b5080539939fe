// Asynchronous copies into shared memory, with the names of CUDA's header of this name.
//
// By turns of blocks a block's copies are done at once, or as late as they may be: when their thread waits for them. So
// a kernel that lacks a wait or a barrier gives other results. A copy to an address that its size does not divide, one
// that leaves the block's shared memory, and one that is still under way when its thread ends are errors of the launch.
#pragma once

#include "cuda_runtime.h"

namespace barista::shim {

void CopyAsync(const char* site, void* to, const void* from, size_t bytes);
void CommitCopies();
void WaitForCopies(size_t but_last);

}  // namespace barista::shim

#define __pipeline_memcpy_async(to, from, bytes) ::barista::shim::CopyAsync(BARISTA_SHIM_SITE, (to), (from), (bytes))
#define __pipeline_commit() ::barista::shim::CommitCopies()
#define __pipeline_wait_prior(but_last) ::barista::shim::WaitForCopies(but_last)

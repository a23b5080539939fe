// A copy past the caches: for what is larger than they are, or not read soon. An ordinary store reads its line first.
#pragma once

#include <cstddef>

namespace barista {

// dst and src: 16-byte aligned, not overlapping. The caller's later stores are ordered behind it.
void StreamCopy(void* dst, const void* src, size_t bytes);

}  // namespace barista

// What a segment of a chain (view.h) takes over from the one before it. Kernels call this for their own component
// before they run a segment whose `from` is a slot.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/view.h"

namespace barista {

// Elements [first, first + count) of the segment's slot become those of the slot it goes on from.
inline void TakeOver(const SlotArray& array, const Segment& s, int64_t first, int64_t count) {
  const int64_t size = static_cast<int64_t>(SizeOf(array.dtype));
  std::byte* component = array.base + first * size;
  std::memcpy(component + s.slot * array.slot_bytes, component + s.from * array.slot_bytes, count * size);
}

// The same of a ring [capacity, row] that begins at element `first`: the rows of the segment's stale tokens.
inline void TakeOverRing(const SlotArray& array, const Segment& s, int64_t first, int64_t capacity, int64_t row) {
  const int64_t end = std::min(s.stale_end, s.stale_begin + capacity);
  for (int64_t t = s.stale_begin; t < end; ++t) TakeOver(array, s, first + t % capacity * row, row);
}

}  // namespace barista

// Random bits for the sums of Latte's state. A float32 sum of millions of small terms loses what is below half its last
// place, always in the same direction (measured: tests/bench/results, state_drift). Adding to each term a number spread
// evenly over one last place of the sum makes every rounding right on average (stochastic rounding), so that errors
// cancel instead of adding up, at no byte of state. DECISIONS.md has the alternatives.
#pragma once

#include <cstdint>

namespace barista {

// Evenly spread bits for what position `position` of a sequence adds to the sums of kv head g: nothing else goes in, so
// a session has the same bits in any slot, batch and process. (SplitMix64's finalizer.)
constexpr uint32_t DitherBits(int64_t position, int64_t g) {
  uint64_t x = static_cast<uint64_t>(position) * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(g) * 0xd1b54a32d192ed03;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return static_cast<uint32_t>(x >> 32);
}

}  // namespace barista

// Numbers for the checks at start.
#pragma once

#include <cstdint>

namespace barista {

// Values in [-1, 1), the same on every machine. state: of the sequence, which it moves on.
inline float Noise(uint32_t& state) {
  state = state * 1664525 + 1013904223;
  return static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
}

}  // namespace barista

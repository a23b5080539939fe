// Frequencies of rotary and sinusoidal positions.
#pragma once

#include <cstdint>

namespace barista {

// theta^(-2i/width) for i in [0, ceil(width / 2)), in double. Computed on the calling thread's first use and kept there
// until it ends.
const double* Frequencies(double theta, int64_t width);

}  // namespace barista

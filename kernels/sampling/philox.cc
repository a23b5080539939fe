#include "kernels/sampling/philox.h"

#include "kernels/sampling/sampling.h"

namespace barista {

double UniformAt(uint64_t seed, uint64_t choice, uint64_t position) {
  return static_cast<double>(UniformBits(seed, choice, position)) * 0x1p-53;
}

}  // namespace barista

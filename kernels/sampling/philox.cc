#include "kernels/sampling/philox.h"

#include "kernels/sampling/sampling.h"

namespace barista {

double UniformAt(uint64_t seed, uint64_t choice, uint64_t position) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const std::array<uint32_t, 4> words =
      Philox4x32({low(choice), high(choice), low(position), high(position)}, {low(seed), high(seed)});
  return static_cast<double>((uint64_t{words[0]} << 32 | words[1]) >> 11) * 0x1p-53;
}

}  // namespace barista

// Philox 4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC
// 2011): a pure function of counter and key, so the n-th number of any stream costs the same as the first and needs no
// state.
#pragma once

#include <array>
#include <cstdint>

namespace barista {

// Four independent uniform words for (counter, key).
constexpr std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;  // golden ratio
    key[1] += 0xBB67AE85;  // sqrt(3) - 1
  }
  return counter;
}

// UniformAt (sampling.h) times 2^53.
constexpr uint64_t UniformBits(uint64_t seed, uint64_t choice, uint64_t position) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const std::array<uint32_t, 4> words =
      Philox4x32({low(choice), high(choice), low(position), high(position)}, {low(seed), high(seed)});
  return (uint64_t{words[0]} << 32 | words[1]) >> 11;
}

}  // namespace barista

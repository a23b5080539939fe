// Vectorised passes over one row, compiled once per instruction set and chosen once per process. Pure functions of
// their arguments; any thread. Sums run in float over kSumBlock elements, then in double: the grouping is fixed, so
// equal inputs give equal bits.
#pragma once

#include <array>
#include <cstdint>

namespace barista {

inline constexpr int64_t kMaxBlock = 64;   // elements under one entry of block_max
inline constexpr int64_t kSumBlock = 256;  // elements summed in float
inline constexpr int kThresholds = 8;      // of one mass_at_least pass

struct RowMax {
  float value = 0;     // of the elements that are not NaN; -inf where there is none
  int64_t index = -1;  // the lowest
  bool finite = true;  // no NaN, no +inf
};

struct RowPasses {
  RowMax (*max)(const float* x, int64_t n);

  // out[i] = largest of x[i * kMaxBlock ...), ceil(n / kMaxBlock) entries.
  void (*block_max)(const float* x, int64_t n, float* out);

  // weights[i] = exp((x[i] - largest) * scale) where x[i] >= cut, else 0. x <= largest, or -inf; scale > 0. Weights
  // below 2^-126 are 0.
  void (*weights)(const float* x, int64_t n, float largest, float scale, float cut, float* weights);

  // Sum of exp(x[i] - largest).
  double (*exp_sum)(const float* x, int64_t n, float largest);

  // Sum of weights[i].
  double (*sum)(const float* weights, int64_t n);

  // Sum of weights[i] * (x[i] - largest) over weights[i] > 0.
  double (*weighted_offset)(const float* x, const float* weights, int64_t n, float largest);

  // out[i] = -|x[i] - centre|.
  void (*negative_distance)(const float* x, int64_t n, float centre, float* out);

  // mass[t] = sum of weights[i] where key[i] >= threshold[t].
  void (*mass_at_least)(const float* key, const float* weights, int64_t n,
                        const std::array<float, kThresholds>& threshold, std::array<double, kThresholds>& mass);

  // How many low <= key[i] < high.
  int64_t (*count_between)(const float* key, int64_t n, float low, float high);

  // index[0, count) = all i with key[i] >= low, ascending; returns count. index has n entries.
  int64_t (*collect_at_least)(const float* key, int64_t n, float low, int32_t* index);
};

// For this machine.
const RowPasses& Passes();

}  // namespace barista

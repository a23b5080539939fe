// The sparse edits of one row of logits before temperature: bias, penalties, mask. Shared by reference and CPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/base/internal/raw_logging.h"
#include "kernels/sampling/sampling.h"

namespace barista {

// Whether Adjust would change anything.
inline bool NeedsAdjust(const SampleRow& row) {
  const SamplingParams& p = *row.params;
  return !p.logit_bias.empty() || !row.forbidden.empty() || (p.penalises() && !row.counts.empty());
}

// Edits logits [vocab] in place, in their own type. Ids must lie in [0, vocab): the caller's contract. Returns false
// where an edit would hide a NaN or +inf.
template <class T>
bool Adjust(T* logits, int64_t vocab, const SampleRow& row) {
  const SamplingParams& p = *row.params;
  bool finite = true;
  const auto at = [&](int32_t id) -> T& {
    ABSL_RAW_CHECK(id >= 0 && id < vocab, "sampling: an id outside the vocabulary");
    return logits[id];
  };
  for (const auto& [id, bias] : p.logit_bias) {
    T& z = at(id);
    finite = finite && z < std::numeric_limits<T>::infinity();
    z += static_cast<T>(bias);
  }
  for (const TokenCount& seen : row.counts) {
    T& z = at(seen.id);
    const T r = static_cast<T>(p.repetition_penalty);
    if (r != 1 && (seen.in_prompt || seen.in_output > 0)) z = z > 0 ? z / r : z * r;
    if (seen.in_output > 0) {
      z -= static_cast<T>(p.presence_penalty);
      z -= static_cast<T>(p.frequency_penalty) * static_cast<T>(seen.in_output);
    }
  }
  for (const int32_t id : row.forbidden) {
    T& z = at(id);
    finite = finite && z < std::numeric_limits<T>::infinity();
    z = -std::numeric_limits<T>::infinity();
  }
  return finite;
}

// The smallest logit that min_p keeps beside `best`, the largest remaining one: log p >= log min_p + log p(best).
template <class T>
T MinPCut(T best, const SamplingParams& p) {
  if (p.min_p <= 0) return std::numeric_limits<T>::lowest();
  const double cut = best + p.temperature * std::log(static_cast<double>(p.min_p));
  return static_cast<T>(std::max<double>(cut, std::numeric_limits<T>::lowest()));
}

}  // namespace barista

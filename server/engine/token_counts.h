// How often each id was seen by one sequence, for the penalties: at most kPenaltyIdsMax ids, the least recently seen
// gives way. Part of a session's state.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "kernels/sampling/sampling.h"

namespace barista {

class TokenCounts {
 public:
  // The prompt's ids (the last kPenaltyIdsMax different ones).
  void AddPrompt(absl::Span<const int32_t> prompt);
  void AddOutput(int32_t id);
  absl::Span<const TokenCount> counts() const { return counts_; }

  // All of it, the id seen longest ago first: what a copy made elsewhere needs.
  std::vector<TokenCount> OldestFirst() const;
  static TokenCounts FromOldestFirst(absl::Span<const TokenCount> counts);

 private:
  TokenCount& Find(int32_t id);

  std::vector<TokenCount> counts_;
  std::vector<uint64_t> last_seen_;  // beside counts_
  absl::flat_hash_map<int32_t, int32_t> index_;
  uint64_t now_ = 0;
};

}  // namespace barista

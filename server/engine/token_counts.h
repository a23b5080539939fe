// How often each id was seen by one sequence, for the penalties: at most kPenaltyIdsMax ids, the least recently seen
// gives way. Part of a session's state, and never more than StateLayout::kPenaltyBytes: every operation on an id is a
// look into a small index and a change of two links.
#pragma once

#include <cstdint>
#include <vector>

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

  int64_t bytes() const;  // on the heap

 private:
  using Place = uint16_t;  // in counts_
  static constexpr Place kNone = 0xffff;
  struct Link {
    Place older = kNone, newer = kNone;
  };

  TokenCount& Find(int32_t id);
  size_t Bucket(int32_t id) const;  // where the index has the id, or the empty one where it would
  void Forget(int32_t id);          // in the index
  void Grow();
  void Unlink(Place place);
  void LinkAsNewest(Place place);

  std::vector<TokenCount> counts_;
  std::vector<Link> links_;   // beside counts_, in the order in which ids were seen
  std::vector<Place> index_;  // open addressing by id; at least twice as large as counts_
  Place oldest_ = kNone, newest_ = kNone;
};

}  // namespace barista

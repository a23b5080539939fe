#include "server/engine/token_counts.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_set.h"
#include "server/model/state.h"

namespace barista {

void TokenCounts::AddPrompt(absl::Span<const int32_t> prompt) {
  // From the end: once the table is full, older ids no longer matter.
  std::vector<int32_t> newest_first;
  absl::flat_hash_set<int32_t> seen;
  for (size_t i = prompt.size(); i-- > 0 && seen.size() < StateLayout::kPenaltyIdsMax;) {
    if (seen.insert(prompt[i]).second) newest_first.push_back(prompt[i]);
  }
  for (size_t i = newest_first.size(); i-- > 0;) Find(newest_first[i]).in_prompt = true;
}

void TokenCounts::AddOutput(int32_t id) { ++Find(id).in_output; }

std::vector<TokenCount> TokenCounts::OldestFirst() const {
  std::vector<int32_t> places(counts_.size());
  std::iota(places.begin(), places.end(), 0);
  std::sort(places.begin(), places.end(), [this](int32_t a, int32_t b) { return last_seen_[a] < last_seen_[b]; });
  std::vector<TokenCount> sorted;
  for (const int32_t place : places) sorted.push_back(counts_[place]);
  return sorted;
}

TokenCounts TokenCounts::FromOldestFirst(absl::Span<const TokenCount> counts) {
  TokenCounts made;
  for (const TokenCount& count : counts) made.Find(count.id) = count;
  return made;
}

TokenCount& TokenCounts::Find(int32_t id) {
  if (const auto it = index_.find(id); it != index_.end()) {
    last_seen_[it->second] = ++now_;
    return counts_[it->second];
  }
  int32_t place = static_cast<int32_t>(counts_.size());
  if (place < StateLayout::kPenaltyIdsMax) {
    counts_.push_back({});
    last_seen_.push_back(0);
  } else {
    place = static_cast<int32_t>(std::min_element(last_seen_.begin(), last_seen_.end()) - last_seen_.begin());
    index_.erase(counts_[place].id);
  }
  counts_[place] = {.id = id, .in_prompt = false, .in_output = 0};
  last_seen_[place] = ++now_;
  index_[id] = place;
  return counts_[place];
}

}  // namespace barista

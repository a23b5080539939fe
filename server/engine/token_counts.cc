#include "server/engine/token_counts.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "server/model/state.h"

namespace barista {
namespace {

constexpr size_t kIdsMax = StateLayout::kPenaltyIdsMax;
constexpr size_t kIndexMin = 16;

size_t HashOf(int32_t id) { return (static_cast<uint64_t>(id) * 0x9e3779b97f4a7c15) >> 40; }

}  // namespace

void TokenCounts::AddPrompt(absl::Span<const int32_t> prompt) {
  // From the end: once the table is full, older ids no longer matter.
  std::vector<int32_t> newest_first;
  absl::flat_hash_set<int32_t> seen;
  for (size_t i = prompt.size(); i-- > 0 && seen.size() < kIdsMax;) {
    if (seen.insert(prompt[i]).second) newest_first.push_back(prompt[i]);
  }
  for (size_t i = newest_first.size(); i-- > 0;) Find(newest_first[i]).in_prompt = true;
}

void TokenCounts::AddOutput(int32_t id) { ++Find(id).in_output; }

std::vector<TokenCount> TokenCounts::OldestFirst() const {
  std::vector<TokenCount> sorted;
  sorted.reserve(counts_.size());
  for (Place place = oldest_; place != kNone; place = links_[place].newer) sorted.push_back(counts_[place]);
  return sorted;
}

TokenCounts TokenCounts::FromOldestFirst(absl::Span<const TokenCount> counts) {
  TokenCounts made;
  for (const TokenCount& count : counts) made.Find(count.id) = count;
  return made;
}

int64_t TokenCounts::bytes() const {
  return static_cast<int64_t>(counts_.capacity() * sizeof(TokenCount) + links_.capacity() * sizeof(Link) +
                              index_.capacity() * sizeof(Place));
}

TokenCount& TokenCounts::Find(int32_t id) {
  if (2 * counts_.size() >= index_.size() && counts_.size() < kIdsMax) Grow();
  const size_t bucket = Bucket(id);
  Place place = index_[bucket];
  if (place != kNone) {
    Unlink(place);
  } else if (counts_.size() < kIdsMax) {
    place = index_[bucket] = static_cast<Place>(counts_.size());
    counts_.push_back({.id = id});
    links_.push_back({});
  } else {
    place = oldest_;
    Unlink(place);
    Forget(counts_[place].id);
    counts_[place] = {.id = id};
    index_[Bucket(id)] = place;
  }
  LinkAsNewest(place);
  return counts_[place];
}

size_t TokenCounts::Bucket(int32_t id) const {
  size_t bucket = HashOf(id) % index_.size();
  while (index_[bucket] != kNone && counts_[index_[bucket]].id != id) bucket = (bucket + 1) % index_.size();
  return bucket;
}

void TokenCounts::Forget(int32_t id) {
  size_t hole = Bucket(id);
  index_[hole] = kNone;
  // Whoever came to lie behind the hole because it was taken moves into it.
  for (size_t at = (hole + 1) % index_.size(); index_[at] != kNone; at = (at + 1) % index_.size()) {
    const size_t home = HashOf(counts_[index_[at]].id) % index_.size();
    const bool between = hole <= at ? hole < home && home <= at : hole < home || home <= at;
    if (between) continue;
    index_[hole] = index_[at];
    index_[at] = kNone;
    hole = at;
  }
}

void TokenCounts::Grow() {
  index_.assign(std::max(kIndexMin, 2 * index_.size()), kNone);
  counts_.reserve(index_.size() / 2);
  links_.reserve(index_.size() / 2);
  for (size_t place = 0; place < counts_.size(); ++place) {
    index_[Bucket(counts_[place].id)] = static_cast<Place>(place);
  }
}

void TokenCounts::Unlink(Place place) {
  const Link link = links_[place];
  (link.older == kNone ? oldest_ : links_[link.older].newer) = link.newer;
  (link.newer == kNone ? newest_ : links_[link.newer].older) = link.older;
}

void TokenCounts::LinkAsNewest(Place place) {
  links_[place] = {.older = newest_, .newer = kNone};
  (newest_ == kNone ? oldest_ : links_[newest_].newer) = place;
  newest_ = place;
}

}  // namespace barista

#include "server/engine/ngram_drafter.h"

#include <algorithm>

namespace barista {

NgramDrafter::NgramDrafter() : tokens_(kHistory) {
  for (Index& index : indices_) {
    index.latest.assign(kBuckets, -1);
    index.previous.assign(kHistory, -1);
  }
}

void NgramDrafter::Push(int32_t token) {
  // Only now is it known what follows the n-grams that end here.
  for (int n = kShortest; n <= kLongest && n <= size_; ++n) {
    Index& index = indices_[n - kShortest];
    int32_t& latest = index.latest[Bucket(size_, n)];
    index.previous[size_ % kHistory] = latest;
    latest = size_;
  }
  tokens_[size_++ % kHistory] = token;
}

void NgramDrafter::Draft(int32_t count, std::vector<int32_t>& draft) const {
  draft.clear();
  for (int n = std::min<int32_t>(kLongest, size_); n >= kShortest; --n) {
    const int32_t place = Find(n);
    if (place < 0) continue;
    for (int32_t i = 0; i < count; ++i) {
      draft.push_back(place + i < size_ ? At(place + i) : draft[place + i - size_]);
    }
    return;
  }
}

uint32_t NgramDrafter::Bucket(int32_t place, int n) const {
  uint64_t hash = 0;
  for (int i = 1; i <= n; ++i) hash = (hash + static_cast<uint32_t>(At(place - i))) * 0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(hash >> 32) % kBuckets;
}

bool NgramDrafter::SameBefore(int32_t a, int32_t b, int n) const {
  for (int i = 1; i <= n; ++i) {
    if (At(a - i) != At(b - i)) return false;
  }
  return true;
}

int32_t NgramDrafter::Find(int n) const {
  const Index& index = indices_[n - kShortest];
  int32_t place = index.latest[Bucket(size_, n)];
  // Older places were overwritten, with their links.
  for (int probe = 0; probe < kProbesMax && place - n >= std::max<int64_t>(0, size_ - kHistory); ++probe) {
    if (SameBefore(place, size_, n)) return place;
    place = index.previous[place % kHistory];
  }
  return -1;
}

}  // namespace barista

#include "server/engine/state_cache.h"

#include <utility>

namespace barista {

int64_t StateCache::BytesOf(const SessionCopy& copy) {
  return static_cast<int64_t>(sizeof(copy) + copy.state->size() + copy.counts.size() * sizeof(TokenCount));
}

int64_t StateCache::bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

void StateCache::Keep(std::shared_ptr<const SessionCopy> copy) {
  Order freed;
  const int64_t bytes = BytesOf(*copy);
  absl::MutexLock lock(&mutex_);
  if (bytes > bytes_max_ || places_.contains(copy.get())) return;
  while (bytes_ + bytes > bytes_max_) Remove(order_.front().get(), freed);
  bytes_ += bytes;
  const SessionCopy* key = copy.get();
  places_[key] = order_.insert(order_.end(), std::move(copy));
}

void StateCache::Touch(const std::shared_ptr<const SessionCopy>& copy) {
  absl::MutexLock lock(&mutex_);
  const auto it = places_.find(copy.get());
  if (it != places_.end()) order_.splice(order_.end(), order_, it->second);
}

void StateCache::Drop(const std::shared_ptr<const SessionCopy>& copy) {
  Order freed;
  absl::MutexLock lock(&mutex_);
  Remove(copy.get(), freed);
}

void StateCache::Remove(const SessionCopy* copy, Order& freed) {
  const auto it = places_.find(copy);
  if (it == places_.end()) return;
  bytes_ -= BytesOf(*copy);
  freed.splice(freed.end(), order_, it->second);
  places_.erase(it);
}

}  // namespace barista

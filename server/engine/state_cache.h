// Kept states within a budget of bytes: the longest unused gives way. Who may want one again holds a weak pointer to
// it, which ends when the state does, or shares a KeptState. The engine's thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "server/engine/sequence.h"

namespace barista {

class StateCache {
 public:
  // bytes_max 0: nothing is kept.
  explicit StateCache(int64_t bytes_max) : bytes_max_(bytes_max) {}

  bool on() const { return bytes_max_ > 0; }
  int64_t bytes() const { return bytes_; }
  // The most used of all now; others give way for it. A state larger than the budget is not kept.
  void Keep(std::shared_ptr<const SessionCopy> copy);
  // It was used. Nothing happens where it is no longer kept.
  void Touch(const std::shared_ptr<const SessionCopy>& copy);
  // It will not be used again.
  void Drop(const std::shared_ptr<const SessionCopy>& copy);

 private:
  static int64_t BytesOf(const SessionCopy& copy);

  const int64_t bytes_max_;
  int64_t bytes_ = 0;
  std::list<std::shared_ptr<const SessionCopy>> order_;  // the longest unused first
  absl::flat_hash_map<const SessionCopy*, std::list<std::shared_ptr<const SessionCopy>>::iterator> places_;
};

// A state that its holders may want again: it is dropped with the last of them. The cache outlives it.
class KeptState {
 public:
  KeptState(const std::shared_ptr<const SessionCopy>& copy, StateCache& cache) : copy_(copy), cache_(cache) {
    cache.Keep(copy);
  }
  ~KeptState() {
    if (const auto copy = copy_.lock()) cache_.Drop(copy);
  }
  KeptState(const KeptState&) = delete;
  KeptState& operator=(const KeptState&) = delete;

  // Null once it has given way.
  std::shared_ptr<const SessionCopy> copy() const { return copy_.lock(); }

 private:
  const std::weak_ptr<const SessionCopy> copy_;
  StateCache& cache_;
};

}  // namespace barista

// Kept states within a budget of bytes: the longest unused gives way. Who may want one again holds a weak pointer to
// it, which ends when the state does, or shares a KeptState. Any thread: one for all engines of a server.
#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "server/engine/sequence.h"

namespace barista {

class StateCache {
 public:
  // bytes_max 0: nothing is kept.
  explicit StateCache(int64_t bytes_max) : bytes_max_(bytes_max) {}

  bool on() const { return bytes_max_ > 0; }
  int64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The most used of all now; others give way for it. A state larger than the budget is not kept.
  void Keep(std::shared_ptr<const SessionCopy> copy) ABSL_LOCKS_EXCLUDED(mutex_);
  // It was used. Nothing happens where it is no longer kept.
  void Touch(const std::shared_ptr<const SessionCopy>& copy) ABSL_LOCKS_EXCLUDED(mutex_);
  // It will not be used again.
  void Drop(const std::shared_ptr<const SessionCopy>& copy) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  static int64_t BytesOf(const SessionCopy& copy);

  using Order = std::list<std::shared_ptr<const SessionCopy>>;
  // Moves what gives way to `freed`, which is destroyed without the lock: it may be megabytes.
  void Remove(const SessionCopy* copy, Order& freed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t bytes_max_;
  mutable absl::Mutex mutex_;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Order order_ ABSL_GUARDED_BY(mutex_);  // the longest unused first
  absl::flat_hash_map<const SessionCopy*, Order::iterator> places_ ABSL_GUARDED_BY(mutex_);
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

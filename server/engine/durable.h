// How much of a session's past is safe from the end of this process: tokens whose state a snapshot has. A session that
// comes back from a tier takes its bytes along, so while a call runs on it snapshots are all that a store has of it.
//
// As far as this server was told: of snapshots that it made, restored or deleted itself since it started.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace barista {

// A snapshot under its name. Any thread.
struct KeptSnapshot {
  explicit KeptSnapshot(int64_t count) : tokens(count) {}
  const int64_t tokens;            // of the past
  std::atomic<bool> gone = false;  // deleted, or another has its name
};

// The snapshots of one past. Any thread.
class DurablePast {
 public:
  void Add(std::shared_ptr<const KeptSnapshot> snapshot) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of the longest snapshot; 0: there is none.
  int64_t tokens() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The snapshots of what is left where the past is cut. One that is being written meanwhile is none of them.
  std::shared_ptr<DurablePast> Until(int64_t tokens) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::shared_ptr<const KeptSnapshot>> snapshots_ ABSL_GUARDED_BY(mutex_);
};

// The snapshots of all sessions, by key. One thread at a time: that of the store.
class KeptSnapshots {
 public:
  std::shared_ptr<const KeptSnapshot> Written(const std::string& key, int64_t tokens);
  std::shared_ptr<const KeptSnapshot> Read(const std::string& key, int64_t tokens);
  void Gone(const std::string& key);

 private:
  std::map<std::string, std::shared_ptr<KeptSnapshot>> snapshots_;
};

}  // namespace barista

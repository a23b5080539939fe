// States of prompts that a later prompt may begin with. A state is kept after a whole number of chunks (kChunk tokens),
// for there a prompt may be cut, so that a reader of it gets the bits of one that read everything.
//
// Which positions of a prompt are kept: the last border before its end, and the longest border up to which an earlier
// prompt was the same (where many prompts branch off). A prompt is found by a hash of its tokens, chained from border
// to border and keyed with a secret of this process and the tenant; the tokens themselves are compared before a state
// is used. Tenants share nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/engine/sequence.h"
#include "server/engine/state_cache.h"

namespace barista {

using PrefixKey = std::array<uint64_t, 2>;  // 128 bits of an HMAC-SHA256

// The hashes of a prompt at its borders, the first after kChunk tokens. Thread safe.
class PrefixKeys {
 public:
  PrefixKeys();  // draws the secret
  std::vector<PrefixKey> Of(const std::string& tenant, absl::Span<const int32_t> prompt) const;

 private:
  std::array<unsigned char, 32> secret_;
};

// Any thread: one for all engines of a server.
class PrefixCache {
 public:
  // Prefixes below tokens_min are not worth a state. `states` outlives it.
  PrefixCache(StateCache& states, int64_t tokens_min) : states_(states), tokens_min_(tokens_min) {}

  struct Found {
    int64_t tokens = 0;
    std::shared_ptr<const SessionCopy> copy;  // null: none
  };
  // The longest kept prefix of the prompt.
  Found Find(absl::Span<const PrefixKey> keys, absl::Span<const int32_t> prompt) ABSL_LOCKS_EXCLUDED(mutex_);
  // Positions of this prompt at which its state is to be kept, in order, each beyond `from`. Remembers the prompt.
  std::vector<int64_t> Wanted(absl::Span<const PrefixKey> keys, int64_t prompt_tokens, int64_t from)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Keep(absl::Span<const PrefixKey> keys, absl::Span<const int32_t> prefix, std::shared_ptr<const SessionCopy> copy)
      ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t tokens_min() const { return tokens_min_; }

 private:
  struct Entry {
    std::vector<int32_t> tokens;
    std::weak_ptr<const SessionCopy> copy;
  };
  void RemoveEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  StateCache& states_;
  const int64_t tokens_min_;
  absl::Mutex mutex_;
  absl::flat_hash_map<PrefixKey, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = 64;  // entries
  // Borders that prompts had lately, newest in `seen_`; the older half is forgotten when it is full.
  absl::flat_hash_map<PrefixKey, bool> seen_ ABSL_GUARDED_BY(mutex_), seen_before_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace barista

// Answers of calls that had a request_id, so that a repeat is answered as the first call was and changes nothing: the
// promise at the top of proto/barista/v1/session.proto. Bounded in calls and bytes; the oldest answers give way. Thread
// safe.
#pragma once

#include <google/protobuf/message.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace barista {

class ReplayCache {
  using Key = std::pair<std::string, std::string>;  // type of the request, which tells the method; id

 public:
  struct Options {
    size_t calls_max = 1024;                    // answered calls that are kept
    int64_t bytes_max = int64_t{64} << 20;      // of all messages, those of calls that still run included
    int64_t call_bytes_max = int64_t{8} << 20;  // of one call's messages; with more none of them is kept
  };

  // What a call came to.
  struct Answer {
    absl::Status status;
    std::vector<std::string> messages;  // serialised, in order
    bool whole = true;                  // else there were too many bytes, and no message is kept
  };

  // What the first call of its id says as it runs. Destroyed before End: as if the call had never been.
  class Recording {
   public:
    Recording(ReplayCache& cache, Key key) : cache_(cache), key_(std::move(key)) {}
    ~Recording();

    void Add(const google::protobuf::Message& message);
    // Once. From here on a repeat is answered, but for a call that changed nothing and may succeed later, which is
    // forgotten: INVALID_ARGUMENT, ABORTED, RESOURCE_EXHAUSTED and UNAVAILABLE without a message.
    void End(const absl::Status& status);

   private:
    ReplayCache& cache_;
    const Key key_;
    Answer answer_;
    int64_t bytes_ = 0;
    bool ended_ = false;
  };

  // Exactly one of the two: a first call is recorded, a repeat has its answer.
  struct Begun {
    std::shared_ptr<Recording> recording;
    std::shared_ptr<const Answer> answer;
  };

  ReplayCache() : ReplayCache(Options()) {}
  explicit ReplayCache(const Options& options) : options_(options) {}

  // `id`: not empty. `request`: what the caller sent. Outlives what it gives. Errors: kInvalidField where the id came
  // with another request of this type, or its messages were too many to keep; kRequestRunning.
  absl::StatusOr<Begun> Begin(const std::string& id, const google::protobuf::Message& request);

 private:
  struct Entry {
    std::string digest;                    // SHA-256 of the request
    std::shared_ptr<const Answer> answer;  // null while the call runs
    int64_t bytes = 0;                     // of the answer's messages
  };

  // Counts `bytes` more of a running call; false: there is no room for them even without the answers kept.
  bool Grow(int64_t bytes);
  void Shrink(int64_t bytes);
  void Keep(const Key& key, Answer answer, int64_t bytes);
  void Forget(const Key& key, int64_t bytes);
  void EvictOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  absl::flat_hash_map<Key, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::deque<Key> answered_ ABSL_GUARDED_BY(mutex_);  // oldest first
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace barista

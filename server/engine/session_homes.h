// Which of a server's engines has which session. A name has a home while the engine there has the session, or while
// anyone holds the name: so all that comes for one session meets in one engine, also before it exists. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace barista {

class SessionHomes {
 public:
  // A name that somebody holds; it stays where it is meanwhile, unless its holders move it.
  class Held {
   public:
    Held(SessionHomes& homes, std::string key) : homes_(homes), key_(std::move(key)) {}
    ~Held() { homes_.LetGo(key_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    SessionHomes& homes_;
    const std::string key_;
  };
  struct Place {
    int engine = 0;
    bool exists = false;
    std::shared_ptr<const Held> held;
  };

  explicit SessionHomes(int engines) : sessions_(engines), expected_(engines) {}

  // At `engine`, where the name has no home yet.
  Place Hold(const std::string& key, int engine) ABSL_LOCKS_EXCLUDED(mutex_);

  // The engine's session begins to exist, where its name is at home, and ends.
  void Began(const std::string& key, int engine) ABSL_LOCKS_EXCLUDED(mutex_);
  void Ended(const std::string& key) ABSL_LOCKS_EXCLUDED(mutex_);
  // While somebody has what this returns, no session moves.
  std::shared_ptr<const void> KeepStill() ABSL_LOCKS_EXCLUDED(mutex_);
  // From its engine to another, where so many hold it and no more, and all need not keep still.
  bool Move(const std::string& key, int to, int holders) ABSL_LOCKS_EXCLUDED(mutex_);
  // -1: it has none.
  int Find(const std::string& key) const ABSL_LOCKS_EXCLUDED(mutex_);

  int64_t sessions(int engine) const ABSL_LOCKS_EXCLUDED(mutex_);  // that exist
  int64_t expected(int engine) const ABSL_LOCKS_EXCLUDED(mutex_);  // names that are held and have no session (yet)

 private:
  struct Home {
    int engine = 0;
    int holders = 0;
    bool exists = false;
  };
  void LetGo(const std::string& key) ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Home> homes_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> sessions_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> expected_ ABSL_GUARDED_BY(mutex_);
  std::weak_ptr<const void> still_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace barista

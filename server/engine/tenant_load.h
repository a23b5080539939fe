// What each tenant has in the server, and all of them together, over all engines, held against the limits. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "server/engine/clock.h"
#include "server/engine/tenant_limits.h"

namespace barista {

// kTenantLimit: with `has` of them the tenant wants `wanted` more, and its `limit` is `value`.
absl::Status TenantLimitError(const std::string& tenant, absl::string_view limit, int64_t value, int64_t has,
                              int64_t wanted);

// Tokens that a tenant may still read and draw now, by its rate. It begins full.
class TokenBucket {
 public:
  static constexpr double kSeconds = 1;  // of the rate, that may be saved

  // rate: tokens a second.
  bool Empty(double rate, TimePoint now) ABSL_LOCKS_EXCLUDED(mutex_);
  void Spend(int64_t tokens) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  double tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  TimePoint refilled_ ABSL_GUARDED_BY(mutex_);
};

class TenantLoad {
 public:
  void SetPolicy(TenantPolicy policy) ABSL_LOCKS_EXCLUDED(mutex_);

  // Counts a call in. Errors: kTenantLimit naming limit and value, and then it is not counted.
  absl::Status Enter(const std::string& tenant, int64_t streams, int64_t prompt_tokens) ABSL_LOCKS_EXCLUDED(mutex_);
  // Prompt tokens that came later (Append), or, below 0, were read.
  void AddQueued(const std::string& tenant, int64_t tokens) ABSL_LOCKS_EXCLUDED(mutex_);
  // The call ends; queued_tokens: of its prompt, still counted.
  void Leave(const std::string& tenant, int64_t streams, int64_t queued_tokens) ABSL_LOCKS_EXCLUDED(mutex_);

  // An engine has so many places for sessions.
  void AddPlaces(int64_t sessions) ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts new sessions in. Errors: kSessionsMax, where they are more than the places that are left; kTenantLimit.
  absl::Status EnterSessions(const std::string& tenant, int64_t sessions) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same with one that exists already and was found, whatever the tenant's limit.
  absl::Status EnterFound(const std::string& tenant) ABSL_LOCKS_EXCLUDED(mutex_);
  void LeaveSession(const std::string& tenant) ABSL_LOCKS_EXCLUDED(mutex_);

  // The tenant's, the same for whoever asks while somebody has it.
  std::shared_ptr<TokenBucket> BucketOf(const std::string& tenant) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Load {
    int64_t streams = 0, queued_tokens = 0, sessions = 0;
  };
  absl::Status CheckRoom(int64_t sessions) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetIfNothing(const std::string& tenant) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  TenantPolicy policy_ ABSL_GUARDED_BY(mutex_);
  int64_t places_ ABSL_GUARDED_BY(mutex_) = 0, sessions_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Load> loads_ ABSL_GUARDED_BY(mutex_);  // of tenants that have any
  std::map<std::string, std::weak_ptr<TokenBucket>> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace barista

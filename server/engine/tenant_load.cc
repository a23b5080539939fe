#include "server/engine/tenant_load.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {

absl::Status TenantLimitError(const std::string& tenant, absl::string_view limit, int64_t value, int64_t has,
                              int64_t wanted) {
  const double retry_after_seconds = wanted <= value ? 1 : 0;
  return MakeError({.reason = ErrorReason::kTenantLimit,
                    .field = absl::StrCat("tenant:", tenant),
                    .retry_after_seconds = retry_after_seconds},
                   absl::StrCat(limit, " of tenant ", tenant, " is ", value, ": it has ", has, ", and ", wanted,
                                " more ", wanted == 1 ? "is" : "are", " wanted"));
}

bool TokenBucket::Empty(double rate, TimePoint now) {
  absl::MutexLock lock(&mutex_);
  const double full = kSeconds * rate;
  tokens_ = begun_ ? std::min(tokens_ + rate * SecondsBetween(refilled_, now), full) : tokens_ + full;
  begun_ = true;
  refilled_ = now;
  return tokens_ <= 0;
}

void TokenBucket::Spend(int64_t tokens) {
  absl::MutexLock lock(&mutex_);
  tokens_ -= static_cast<double>(tokens);
}

void TenantLoad::SetPolicy(TenantPolicy policy) {
  absl::MutexLock lock(&mutex_);
  policy_ = std::move(policy);
}

absl::Status TenantLoad::Enter(const std::string& tenant, int64_t streams, int64_t prompt_tokens) {
  absl::MutexLock lock(&mutex_);
  const TenantLimits& limits = policy_.Of(tenant);
  const auto it = loads_.find(tenant);
  const Load now = it == loads_.end() ? Load() : it->second;
  if (streams > limits.streams_max - now.streams) {
    return TenantLimitError(tenant, "streams_max", limits.streams_max, now.streams, streams);
  }
  if (prompt_tokens > 0 && prompt_tokens > limits.queued_tokens_max - now.queued_tokens) {
    return TenantLimitError(tenant, "queued_tokens_max", limits.queued_tokens_max, now.queued_tokens, prompt_tokens);
  }
  Load& load = loads_[tenant];
  load.streams += streams;
  load.queued_tokens += prompt_tokens;
  return absl::OkStatus();
}

void TenantLoad::AddQueued(const std::string& tenant, int64_t tokens) {
  absl::MutexLock lock(&mutex_);
  loads_[tenant].queued_tokens += tokens;
}

void TenantLoad::Leave(const std::string& tenant, int64_t streams, int64_t queued_tokens) {
  absl::MutexLock lock(&mutex_);
  Load& load = loads_[tenant];
  load.streams -= streams;
  load.queued_tokens -= queued_tokens;
  ForgetIfNothing(tenant);
}

void TenantLoad::AddPlaces(int64_t sessions) {
  absl::MutexLock lock(&mutex_);
  places_ += sessions;
}

absl::Status TenantLoad::CheckRoom(int64_t sessions) const {
  if (sessions <= places_ - sessions_) return absl::OkStatus();
  return MakeError({.reason = ErrorReason::kSessionsMax, .retry_after_seconds = 1},
                   absl::StrCat(sessions_, " of ", places_, " sessions exist, and ", sessions, " more ",
                                sessions == 1 ? "is" : "are", " wanted"));
}

absl::Status TenantLoad::EnterSessions(const std::string& tenant, int64_t sessions) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status room = CheckRoom(sessions); !room.ok()) return room;
  const int64_t limit = policy_.Of(tenant).sessions_max;
  const auto it = loads_.find(tenant);
  const int64_t has = it == loads_.end() ? 0 : it->second.sessions;
  if (sessions > limit - has) return TenantLimitError(tenant, "sessions_max", limit, has, sessions);
  loads_[tenant].sessions += sessions;
  sessions_ += sessions;
  return absl::OkStatus();
}

absl::Status TenantLoad::EnterFound(const std::string& tenant) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status room = CheckRoom(1); !room.ok()) return room;
  ++loads_[tenant].sessions;
  ++sessions_;
  return absl::OkStatus();
}

void TenantLoad::LeaveSession(const std::string& tenant) {
  absl::MutexLock lock(&mutex_);
  --sessions_;
  --loads_[tenant].sessions;
  ForgetIfNothing(tenant);
}

void TenantLoad::ForgetIfNothing(const std::string& tenant) {
  const Load& load = loads_[tenant];
  if (load.streams == 0 && load.sessions == 0) loads_.erase(tenant);
}

std::shared_ptr<TokenBucket> TenantLoad::BucketOf(const std::string& tenant) {
  absl::MutexLock lock(&mutex_);
  for (auto it = buckets_.begin(); it != buckets_.end();) it = it->second.expired() ? buckets_.erase(it) : ++it;
  std::weak_ptr<TokenBucket>& known = buckets_[tenant];
  std::shared_ptr<TokenBucket> bucket = known.lock();
  if (bucket == nullptr) known = bucket = std::make_shared<TokenBucket>();
  return bucket;
}

}  // namespace barista

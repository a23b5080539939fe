#include "server/engine/tenants.h"

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

absl::Status TenantLoad::Enter(const std::string& tenant, int64_t streams, int64_t prompt_tokens) {
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

void TenantLoad::AddQueued(const std::string& tenant, int64_t tokens) { loads_[tenant].queued_tokens += tokens; }

void TenantLoad::Leave(const std::string& tenant, int64_t streams, int64_t queued_tokens) {
  Load& load = loads_[tenant];
  load.streams -= streams;
  load.queued_tokens -= queued_tokens;
  if (load.streams == 0) loads_.erase(tenant);
}

void TenantTable::SetPolicy(TenantPolicy policy) {
  policy_ = std::move(policy);
  for (auto& [name, tenant] : tenants_) tenant.limits = policy_.Of(name);
}

Tenant& TenantTable::Enter(const std::string& name, TimePoint now) {
  const auto [it, added] = tenants_.try_emplace(name);
  Tenant& tenant = it->second;
  if (added) {
    tenant = {.name = name, .limits = policy_.Of(name), .credit = kCreditMax, .refilled = now};
    tenant.tokens = kRateSeconds * static_cast<double>(tenant.limits.tokens_per_second);
  }
  ++tenant.calls;
  return tenant;
}

void TenantTable::Leave(Tenant& tenant, TimePoint now) {
  --tenant.calls;
  tenant.left = now;
}

bool TenantTable::OverRate(Tenant& tenant) const {
  if (tenant.limits.tokens_per_second == TenantLimits::kNone) return false;
  const double rate = static_cast<double>(tenant.limits.tokens_per_second);
  tenant.tokens = std::min(tenant.tokens + rate * SecondsBetween(tenant.refilled, now_), kRateSeconds * rate);
  tenant.refilled = now_;
  return tenant.tokens <= 0;
}

void TenantTable::Begin(TimePoint now) {
  now_ = now;
  for (Tenant* tenant : placed_) tenant->place = -1;
  placed_.clear();
  shares_.clear();
  if (now >= next_look_) Forget();
}

// What was spent is remembered for a while, so that many short calls are no way round it.
void TenantTable::Forget() {
  constexpr std::chrono::seconds kInterval{1}, kMemory{10};
  next_look_ = now_ + kInterval;
  for (auto it = tenants_.begin(); it != tenants_.end();) {
    Tenant& tenant = it->second;
    const bool gone = tenant.calls == 0 && now_ - tenant.left > kMemory && !OverRate(tenant);
    it = gone ? tenants_.erase(it) : std::next(it);
  }
}

int32_t TenantTable::Place(Tenant& tenant) {
  if (tenant.place >= 0) return tenant.place;
  tenant.place = static_cast<int32_t>(placed_.size());
  tenant.spending = 0;
  placed_.push_back(&tenant);
  return tenant.place;
}

const std::vector<Share>& TenantTable::shares() {
  double short_of = std::numeric_limits<double>::infinity();  // by weight, of the one that lacks least
  for (const Tenant* tenant : placed_) short_of = std::min(short_of, -tenant->credit / tenant->limits.weight);
  constexpr double kSome = 1e-6;
  for (Tenant* tenant : placed_) {
    if (short_of >= 0) tenant->credit += (short_of + kSome) * tenant->limits.weight;
    shares_.push_back({tenant->limits.weight, tenant->credit});
  }
  return shares_;
}

void TenantTable::Settle(absl::Span<const Runnable> runnables, absl::Span<const Scheduled> plan,
                         const StepBudget& budget, double seconds) {
  for (const Scheduled& s : plan) {
    placed_[runnables[s.index].tenant]->spending += s.tokens * (s.prefill ? budget.token_seconds : budget.row_seconds);
  }
  double weights = 0;
  for (const Tenant* tenant : placed_) weights += tenant->limits.weight;
  for (Tenant* tenant : placed_) {
    const double given = seconds * tenant->limits.weight / weights;
    tenant->credit = std::min(tenant->credit + given - tenant->spending, kCreditMax);
  }
}

}  // namespace barista

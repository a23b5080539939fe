#include "server/engine/tenants.h"

#include <algorithm>
#include <utility>

namespace barista {

void TenantTable::SetPolicy(TenantPolicy policy) {
  policy_ = std::move(policy);
  for (auto& [name, tenant] : tenants_) tenant.limits = policy_.Of(name);
}

Tenant& TenantTable::Enter(const std::string& name, TimePoint now) {
  const auto [it, added] = tenants_.try_emplace(name);
  Tenant& tenant = it->second;
  if (added) {
    tenant = {
        .name = name, .limits = policy_.Of(name), .credit = kCreditMax, .bucket = load_.BucketOf(name), .left = now};
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
  return tenant.bucket->Empty(static_cast<double>(tenant.limits.tokens_per_second), now_);
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

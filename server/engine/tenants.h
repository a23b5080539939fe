// The tenants of the calls in the engine: how fast they may go, and how they share steps.
//
// Sharing is by time. A step costs something however little is in it, and each row adds to that; what a tenant's rows
// add may be, over time, its weight's part of the steps' whole length, counted in credit: each step gives every tenant
// that has something to run its part of the step's seconds, and takes what its rows have added. So tenants that are
// alone, or within their parts, notice nothing, and one with any number of streams and prompts makes the others' steps
// longer by its part at most. With ten equal tenants that is a tenth.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "server/engine/clock.h"
#include "server/engine/scheduler.h"
#include "server/engine/tenant_limits.h"
#include "server/engine/tenant_load.h"

namespace barista {

// A tenant with calls in the engine, or that left a moment ago.
struct Tenant {
  std::string name;
  TenantLimits limits;
  int64_t calls = 0;  // that wait or run
  int64_t slots = 0;  // of calls that run
  double credit = 0;  // seconds
  std::shared_ptr<TokenBucket> bucket;
  TimePoint left;
  int32_t place = -1;   // in the step in hand; -1: nothing to run
  double spending = 0;  // seconds that the step in hand takes from its credit

  double slots_by_weight() const { return static_cast<double>(slots) / limits.weight; }
};

// The engine's thread only.
class TenantTable {
 public:
  static constexpr double kCreditMax = 0.25;  // seconds: what is saved for a burst, such as a prompt

  // load: has the tenants' buckets; outlives the table.
  explicit TenantTable(TenantLoad& load) : load_(load) {}

  void SetPolicy(TenantPolicy policy);

  // A call comes and goes. The reference holds until its Leave.
  Tenant& Enter(const std::string& name, TimePoint now);
  void Leave(Tenant& tenant, TimePoint now);

  // Whether it has to wait, by its rate.
  bool OverRate(Tenant& tenant) const;
  // Tokens that were read or drawn.
  static void Spend(Tenant& tenant, int64_t tokens) {
    if (tenant.limits.tokens_per_second != TenantLimits::kNone) tenant.bucket->Spend(tokens);
  }

  // A step: first Begin; then Place for each call that could run, which gives the tenant's number in shares(); then
  // Settle with what has run and how long it took.
  void Begin(TimePoint now);
  int32_t Place(Tenant& tenant);
  // Ready for Schedule: at least one has credit.
  const std::vector<Share>& shares();
  void Settle(absl::Span<const Runnable> runnables, absl::Span<const Scheduled> plan, const StepBudget& budget,
              double seconds);

 private:
  void Forget();

  TenantLoad& load_;
  TenantPolicy policy_;
  TimePoint now_{}, next_look_{};
  std::map<std::string, Tenant> tenants_;
  std::vector<Tenant*> placed_;  // of the step in hand
  std::vector<Share> shares_;
};

}  // namespace barista

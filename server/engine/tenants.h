// The tenants of the calls in the engine: what they may have at once, how fast they may go, and how they share steps.
//
// Sharing is by time. A step costs something however little is in it, and each row adds to that; what a tenant's rows
// add may be, over time, its weight's part of the steps' whole length, counted in credit: each step gives every tenant
// that has something to run its part of the step's seconds, and takes what its rows have added. So tenants that are
// alone, or within their parts, notice nothing, and one with any number of streams and prompts makes the others' steps
// longer by its part at most. With ten equal tenants that is a tenth.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/engine/clock.h"
#include "server/engine/scheduler.h"
#include "server/engine/tenant_limits.h"

namespace barista {

// What each tenant has in the engine, held against its limits. Whoever owns it guards it.
class TenantLoad {
 public:
  void SetPolicy(TenantPolicy policy) { policy_ = std::move(policy); }

  // Counts a call in. Errors: kTenantLimit naming limit and value, and then it is not counted.
  absl::Status Enter(const std::string& tenant, int64_t streams, int64_t prompt_tokens);
  // Prompt tokens that came later (Append), or, below 0, were read.
  void AddQueued(const std::string& tenant, int64_t tokens);
  // The call ends; queued_tokens: of its prompt, still counted.
  void Leave(const std::string& tenant, int64_t streams, int64_t queued_tokens);

 private:
  struct Load {
    int64_t streams = 0, queued_tokens = 0;
  };
  TenantPolicy policy_;
  std::map<std::string, Load> loads_;  // of tenants that have any
};

// kTenantLimit: with `has` of them the tenant wants `wanted` more, and its `limit` is `value`.
absl::Status TenantLimitError(const std::string& tenant, absl::string_view limit, int64_t value, int64_t has,
                              int64_t wanted);

// A tenant with calls in the engine, or that left a moment ago.
struct Tenant {
  std::string name;
  TenantLimits limits;
  int64_t calls = 0;  // that wait or run
  int64_t slots = 0;  // of calls that run
  double credit = 0;  // seconds
  double tokens = 0;  // that it may still read and draw now, by its rate
  TimePoint refilled, left;
  int32_t place = -1;   // in the step in hand; -1: nothing to run
  double spending = 0;  // seconds that the step in hand takes from its credit

  double slots_by_weight() const { return static_cast<double>(slots) / limits.weight; }
};

// The engine's thread only.
class TenantTable {
 public:
  static constexpr double kCreditMax = 0.25;  // seconds: what is saved for a burst, such as a prompt
  static constexpr double kRateSeconds = 1;   // of its rate, that a tenant may save

  void SetPolicy(TenantPolicy policy);
  const TenantPolicy& policy() const { return policy_; }

  // A call comes and goes. The reference holds until its Leave.
  Tenant& Enter(const std::string& name, TimePoint now);
  void Leave(Tenant& tenant, TimePoint now);

  // Whether it has to wait, by its rate.
  bool OverRate(Tenant& tenant) const;
  // Tokens that were read or drawn.
  static void Spend(Tenant& tenant, int64_t tokens) { tenant.tokens -= static_cast<double>(tokens); }

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

  TenantPolicy policy_;
  TimePoint now_{}, next_look_{};
  std::map<std::string, Tenant> tenants_;
  std::vector<Tenant*> placed_;  // of the step in hand
  std::vector<Share> shares_;
};

}  // namespace barista

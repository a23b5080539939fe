#include "server/engine/tenants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {
namespace {

using testing::HasSubstr;

TEST(TenantLoadTest, LimitsAreExactAndNamed) {
  TenantLoad load;
  TenantPolicy policy;
  policy.named["a"] = {.streams_max = 3, .queued_tokens_max = 100};
  policy.others = {.streams_max = 1};
  load.SetPolicy(policy);
  EXPECT_TRUE(load.Enter("a", 2, 60).ok());
  const absl::Status streams = load.Enter("a", 2, 0);
  EXPECT_EQ(DetailOf(streams).reason, ErrorReason::kTenantLimit);
  EXPECT_EQ(DetailOf(streams).field, "tenant:a");
  EXPECT_EQ(DetailOf(streams).retry_after_seconds, 1);
  EXPECT_THAT(std::string(streams.message()), HasSubstr("streams_max of tenant a is 3: it has 2, and 2 more"));
  EXPECT_THAT(std::string(load.Enter("a", 1, 41).message()), HasSubstr("queued_tokens_max of tenant a is 100"));
  EXPECT_EQ(DetailOf(load.Enter("a", 1, 101)).retry_after_seconds, 0);  // it will never fit
  load.AddQueued("a", -30);
  EXPECT_TRUE(load.Enter("a", 1, 70).ok());
  load.Leave("a", 2, 30);
  load.Leave("a", 1, 70);
  EXPECT_TRUE(load.Enter("a", 3, 100).ok());
  EXPECT_TRUE(load.Enter("b", 1, 1 << 30).ok());
  EXPECT_FALSE(load.Enter("b", 1, 0).ok());
  EXPECT_TRUE(load.Enter("c", 1, 0).ok());
  load.SetPolicy({});
  EXPECT_TRUE(load.Enter("b", 1000, 0).ok());
}

TimePoint At(double seconds) {
  return TimePoint() + std::chrono::duration_cast<TimePoint::duration>(Seconds(1000 + seconds));
}

TEST(TenantTableTest, ARateIsHeldOverTimeAndLeavingIsNoWayRoundIt) {
  TenantLoad load;
  TenantTable table(load);
  TenantPolicy policy;
  policy.named["a"] = {.tokens_per_second = 100};
  table.SetPolicy(policy);
  Tenant* tenant = &table.Enter("a", At(0));
  double spent = 0;
  for (double now = 0; now < 20; now += 0.01) {
    table.Begin(At(now));
    if (table.OverRate(*tenant)) continue;
    TenantTable::Spend(*tenant, 7);
    spent += 7;
    table.Leave(*tenant, At(now));
    tenant = &table.Enter("a", At(now));
  }
  EXPECT_NEAR(spent, 100 * 20 + 100, 10);  // the rate, and one second of it that was saved
}

// Tenants with streams and prompts without end on a machine where a step costs a, a row b, and a prompt token c.
class Machine {
 public:
  struct Load {
    std::string name;
    double weight;
    int32_t decodes, prompts;
  };
  Machine(std::vector<Load> loads, double a, double b, double c) : loads_(std::move(loads)), a_(a), b_(b), c_(c) {
    TenantPolicy policy;
    for (const Load& load : loads_) policy.named[load.name].weight = load.weight;
    table_.SetPolicy(policy);
    for (const Load& load : loads_) {
      tenants_.push_back(&table_.Enter(load.name, At(0)));
      for (int32_t i = 0; i < load.decodes + load.prompts; ++i) {
        owner_.push_back(static_cast<int32_t>(tenants_.size()) - 1);
        runnables_.push_back({.prompt_left = i < load.decodes ? 0 : 1 << 30});
      }
    }
    seconds_.resize(loads_.size());
    waited_.resize(loads_.size());
  }

  // The step's length.
  double Step() {
    table_.Begin(At(now_));
    for (size_t i = 0; i < runnables_.size(); ++i) runnables_[i].tenant = table_.Place(*tenants_[owner_[i]]);
    const StepBudget budget = {.rows_max = 128, .prefill_tokens = 64, .row_seconds = b_, .token_seconds = c_};
    Schedule(runnables_, table_.shares(), budget, plan_);
    double length = a_;
    ++step_;
    for (const Scheduled& s : plan_) {
      Runnable& r = runnables_[s.index];
      const double cost = s.tokens * (s.prefill ? c_ : b_);
      length += cost;
      seconds_[owner_[s.index]] += cost;
      if (!s.prefill) waited_[owner_[s.index]] = std::max(waited_[owner_[s.index]], step_ - r.last);
      r.last = step_;
      if (s.prefill) r.position += s.tokens;
    }
    EXPECT_FALSE(plan_.empty());
    table_.Settle(runnables_, plan_, budget, length);
    now_ += length;
    return length;
  }
  void Steps(int count) {
    for (int i = 0; i < count; ++i) Step();
  }

  double now() const { return now_; }
  double seconds(size_t tenant) const { return seconds_[tenant]; }  // that its rows have added
  uint64_t waited(size_t tenant) const { return waited_[tenant]; }  // steps at most, of one of its decodes

 private:
  const std::vector<Load> loads_;
  const double a_, b_, c_;
  TenantLoad load_;
  TenantTable table_{load_};
  std::vector<Tenant*> tenants_;
  std::vector<int32_t> owner_;
  std::vector<Runnable> runnables_;
  std::vector<Scheduled> plan_;
  std::vector<double> seconds_;
  std::vector<uint64_t> waited_;
  double now_ = 0;
  uint64_t step_ = 0;
};

TEST(FairnessTest, AGreedyTenantMakesTheOthersStepsLongerByItsShareAtMost) {
  std::vector<Machine::Load> loads(9, {"", 1, 1, 0});
  for (int i = 0; i < 9; ++i) loads[i].name = absl::StrCat("n", i);
  Machine alone(loads, 0.012, 0.0007, 0.0003);
  loads.push_back({"greedy", 1, 100, 10});
  Machine together(loads, 0.012, 0.0007, 0.0003);
  alone.Steps(5000);
  together.Steps(5000);
  const double length = together.now() / 5000;
  EXPECT_NEAR(together.seconds(9) / together.now(), 0.1, 0.01);
  EXPECT_LT(length, alone.now() / 5000 * 1.13);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(together.waited(i), 1u) << i;  // every step
  EXPECT_LT(together.waited(9), 200u);
}

TEST(FairnessTest, AloneOrWithinItsShareNobodyIsHeldBack) {
  Machine alone({{"a", 1, 50, 5}}, 0.001, 0.001, 0.001);
  alone.Steps(1000);
  EXPECT_EQ(alone.waited(0), 1u);
  Machine even({{"a", 1, 30, 0}, {"b", 1, 30, 0}, {"c", 1, 25, 0}}, 0.02, 0.0005, 0.0003);
  even.Steps(1000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(even.waited(i), 1u);
}

TEST(FairnessTest, SharesOfThoseWhoWantMoreThanTheyGetFollowTheirWeights) {
  std::mt19937 random(11);
  const auto draw = [&](int low, int high) { return low + static_cast<int>(random() % (high - low + 1)); };
  for (int round = 0; round < 20; ++round) {
    std::vector<Machine::Load> loads;
    double weights = 0;
    const int tenants = draw(2, 6);
    const bool prompts = round % 2 == 0;
    for (int i = 0; i < tenants; ++i) {
      const double weight = draw(1, 4);
      weights += weight;
      // Rows beyond any share: all of a step's time is theirs to divide.
      loads.push_back({absl::StrCat("t", i), weight, prompts ? 0 : draw(150, 250), prompts ? draw(1, 5) : 0});
    }
    Machine machine(loads, 0, 0.0005, 0.0003);
    machine.Steps(4000);
    for (int i = 0; i < tenants; ++i) {
      const double share = loads[i].weight / weights;
      EXPECT_NEAR(machine.seconds(i) / machine.now(), share, 0.03) << "round " << round << ", tenant " << i;
    }
  }
}

TEST(FairnessTest, NobodyStarves) {
  std::mt19937 random(12);
  const auto draw = [&](int low, int high) { return low + static_cast<int>(random() % (high - low + 1)); };
  for (int round = 0; round < 40; ++round) {
    std::vector<Machine::Load> loads;
    double weights = 0;
    for (int i = draw(2, 8); i > 0; --i) {
      loads.push_back({absl::StrCat("t", i), 0.25 * draw(1, 16), draw(0, 50), draw(1, 3)});
      weights += loads.back().weight;
    }
    Machine machine(loads, 0.0001 * draw(0, 100), 0.0001 * draw(1, 20), 0.0001 * draw(1, 5));
    machine.Steps(3000);
    for (size_t i = 0; i < loads.size(); ++i) {
      EXPECT_GT(machine.seconds(i), 0) << "round " << round << ", tenant " << i;
      const double share = loads[i].weight / weights;
      EXPECT_LT(machine.seconds(i) / machine.now(), share + 0.1 + 0.5 / machine.now()) << "round " << round;
      EXPECT_LT(machine.waited(i), 3000u) << "round " << round << ", tenant " << i;
    }
  }
}

}  // namespace
}  // namespace barista

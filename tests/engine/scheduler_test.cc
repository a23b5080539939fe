#include "server/engine/scheduler.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/view.h"

namespace barista {
namespace {

std::vector<Scheduled> Plan(const std::vector<Runnable>& runnables, const StepBudget& budget,
                            const std::vector<Share>& shares = {{}}) {
  std::vector<Scheduled> plan;
  Schedule(runnables, shares, budget, plan);
  return plan;
}

TEST(SchedulerTest, DecodesComeFirstThenTheOldestPrompt) {
  const auto plan = Plan({{.position = 0, .prompt_left = 500}, {.position = 9}, {.position = 0, .prompt_left = 500}},
                         {.rows_max = 512, .prefill_tokens = 128});
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].index, 1);
  EXPECT_FALSE(plan[0].prefill);
  EXPECT_EQ(plan[1].index, 0);
  EXPECT_EQ(plan[1].tokens, 128);
}

TEST(SchedulerTest, PromptsAreCutAtMultiplesOfTheChunkOnly) {
  for (int64_t position : {0, 1, 63, 64, 100, 1000001}) {
    for (int64_t left : {1, 63, 64, 65, 1000}) {
      for (int64_t budget : {64, 65, 128, 500}) {
        const auto plan = Plan({{.position = position, .prompt_left = left}, {.position = 5}},
                               {.rows_max = 512, .prefill_tokens = budget});
        ASSERT_EQ(plan.size(), 2u);
        const int64_t end = position + plan[1].tokens;
        EXPECT_TRUE(end % kChunk == 0 || plan[1].tokens == left) << position << " " << left << " " << budget;
        EXPECT_GT(plan[1].tokens, 0);
        EXPECT_LE(plan[1].tokens, budget);
      }
    }
  }
}

TEST(SchedulerTest, APausedSequenceIsLeftOutAndDelaysNobody) {
  const auto plan = Plan({{.position = 3, .paused = true},
                          {.position = 0, .prompt_left = 70, .paused = true},
                          {.position = 0, .prompt_left = 10},
                          {.position = 4}},
                         {});
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].index, 3);
  EXPECT_EQ(plan[1].index, 2);
}

TEST(SchedulerTest, WithoutDecodesAPromptGetsTheWholeStep) {
  const auto plan = Plan({{.position = 0, .prompt_left = 5000}}, {.rows_max = 512, .prefill_tokens = 64});
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].tokens, 512);
}

TEST(SchedulerTest, MoreDecodesThanRowsTakeTurnsAndLeaveRoomForAPrompt) {
  std::vector<Runnable> runnables(300, {.position = 7});
  runnables.push_back({.position = 0, .prompt_left = 64});
  std::vector<int> served(301, 0);
  for (uint64_t step = 1; step <= 300; ++step) {
    int64_t rows = 0;
    for (const Scheduled& s : Plan(runnables, {.rows_max = 128, .prefill_tokens = 64})) {
      ++served[s.index];
      runnables[s.index].last = step;
      rows += s.tokens;
    }
    EXPECT_LE(rows, 128);
  }
  for (int count : served) EXPECT_GT(count, 30);
  EXPECT_EQ(served[300], 300);
}

TEST(SchedulerTest, DraftsGetTheRowsThatNobodyElseWants) {
  auto plan = Plan({{.position = 3, .draft = 4}, {.position = 4}, {.position = 5, .draft = 8}}, {.rows_max = 9});
  ASSERT_EQ(plan.size(), 3u);
  EXPECT_EQ(plan[0].tokens, 5);
  EXPECT_EQ(plan[1].tokens, 1);
  EXPECT_EQ(plan[2].tokens, 3);
  plan = Plan({{.position = 3, .draft = 4}, {.position = 4, .paused = true, .draft = 4}, {.prompt_left = 500}},
              {.rows_max = kChunk + 3, .prefill_tokens = 128});
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].tokens, 3);
  EXPECT_EQ(plan[1].tokens, kChunk);
  const std::vector<Runnable> many(300, {.position = 7, .draft = 4});
  plan = Plan(many, {.rows_max = 128});
  EXPECT_EQ(plan.size(), 128u);
}

// What each tenant gets of a plan: decodes, prompt tokens.
std::vector<std::pair<int64_t, int64_t>> ByTenant(const std::vector<Runnable>& runnables,
                                                  const std::vector<Scheduled>& plan, size_t tenants) {
  std::vector<std::pair<int64_t, int64_t>> got(tenants);
  for (const Scheduled& s : plan) {
    auto& [decodes, tokens] = got[runnables[s.index].tenant];
    (s.prefill ? tokens : decodes) += s.tokens;
  }
  return got;
}

TEST(SchedulerTest, ATenantRunsAsFarAsItsCreditGoes) {
  std::vector<Runnable> runnables(10, {.position = 5});
  runnables.push_back({.position = 5, .tenant = 1});
  const StepBudget budget = {.row_seconds = 0.001, .token_seconds = 0.0001};
  const auto rows = [&](double credit) {
    return ByTenant(runnables, Plan(runnables, budget, {{1, credit}, {1, 0.01}}), 2);
  };
  EXPECT_EQ(rows(0.0025)[0].first, 3);  // the last one into debt
  EXPECT_EQ(rows(0)[0].first, 0);
  EXPECT_EQ(rows(1)[0].first, 10);
  EXPECT_EQ(rows(0)[1].first, 1);
  runnables.pop_back();
  EXPECT_EQ(Plan(runnables, budget, {{1, 0.0}}).size(), 10u);  // nobody else is there
}

TEST(SchedulerTest, WithinATenantTheLongestWaitingGoesFirstDecodesAndThePromptAlike) {
  const StepBudget budget = {.prefill_tokens = 64, .row_seconds = 0.001, .token_seconds = 0.0001};
  std::vector<Runnable> runnables = {{.position = 5, .last = 9},
                                     {.position = 5, .last = 7},
                                     {.prompt_left = 640, .last = 8},
                                     {.position = 5, .last = 6},
                                     {.position = 5, .tenant = 1}};
  const auto plan_of = [&](double credit) { return Plan(runnables, budget, {{1, credit}, {1, 1}}); };
  auto plan = plan_of(0.0015);
  ASSERT_EQ(plan.size(), 3u);
  EXPECT_EQ(plan[0].index, 1);
  EXPECT_EQ(plan[1].index, 3);
  plan = plan_of(0.0025);  // the prompt's turn: its cut costs all that is left
  ASSERT_EQ(plan.size(), 4u);
  EXPECT_EQ(plan[3].index, 2);
  EXPECT_EQ(plan[3].tokens, 64);
}

TEST(SchedulerTest, PromptTokensGoToWhomMostIsOwed) {
  std::vector<Runnable> runnables = {{.prompt_left = 1000}, {.prompt_left = 1000, .tenant = 1}};
  const StepBudget budget = {.rows_max = 512, .token_seconds = 0.001};
  auto got = ByTenant(runnables, Plan(runnables, budget, {{1, 0.3}, {1, 0.2}}), 2);
  EXPECT_EQ(got[0].second, 320);
  EXPECT_EQ(got[1].second, 192);
  got = ByTenant(runnables, Plan(runnables, budget, {{3, 0.0}, {1, 0.0}}), 2);
  EXPECT_EQ(got[0].second, 384);
  EXPECT_EQ(got[1].second, 128);
}

TEST(SchedulerTest, CreditsChangeNoCut) {
  std::mt19937 random(5);
  const auto draw = [&](int64_t below) { return static_cast<int64_t>(random() % below); };
  for (int round = 0; round < 2000; ++round) {
    std::vector<Share> shares(1 + draw(4));
    for (Share& share : shares) share = {0.5 + draw(4), 0.01 * static_cast<double>(draw(10) - 3)};
    std::vector<Runnable> runnables(draw(20));
    for (Runnable& r : runnables) {
      r = {.position = draw(300),
           .prompt_left = draw(2) * draw(400),
           .paused = draw(8) == 0,
           .draft = static_cast<int32_t>(draw(3)),
           .tenant = static_cast<int32_t>(draw(shares.size())),
           .last = static_cast<uint64_t>(draw(50))};
    }
    const StepBudget budget = {
        .rows_max = 128, .prefill_tokens = kChunk * (1 + draw(3)), .row_seconds = 0.001, .token_seconds = 0.0001};
    int64_t rows = 0;
    for (const Scheduled& s : Plan(runnables, budget, shares)) {
      const Runnable& r = runnables[s.index];
      EXPECT_FALSE(r.paused);
      EXPECT_EQ(s.prefill, r.prompt_left > 0);
      rows += s.tokens;
      if (!s.prefill) continue;
      EXPECT_TRUE(s.tokens == r.prompt_left || (r.position + s.tokens) % kChunk == 0);
      EXPECT_LE(s.tokens, r.prompt_left);
    }
    EXPECT_LE(rows, budget.rows_max);
  }
}

TEST(SchedulerTest, NothingRunnableGivesAnEmptyPlan) { EXPECT_TRUE(Plan({}, {}).empty()); }

TEST(PrefillPaceTest, KeepsMixedStepsNearTheTarget) {
  PrefillPace pace(0.04, 512);
  EXPECT_EQ(pace.Tokens(0), 512);
  EXPECT_EQ(pace.Tokens(8), kChunk);  // nothing measured yet: the smallest cut
  for (int i = 0; i < 50; ++i) {
    pace.Observe(0.010, 8, 0);
    pace.Observe(0.010 + 0.0001 * 128, 8, 128);
  }
  EXPECT_EQ(pace.Tokens(8), 256);  // (40 - 10) ms / 0.1 ms = 300, in whole cuts
  for (int i = 0; i < 50; ++i) pace.Observe(0.2, 8, 0);
  EXPECT_EQ(pace.Tokens(8), kChunk);
}

TEST(PrefillPaceTest, LearnsWhatARowAddsToAStep) {
  PrefillPace pace(0.04, 512);
  pace.Observe(0.014, 2, 0);
  EXPECT_DOUBLE_EQ(pace.row_seconds(), 0.007);  // steps of one size tell no slope
  for (int i = 0; i < 2000; ++i) {
    const int64_t rows = 1 + i * 7 % 20;
    pace.Observe(0.012 + 0.0007 * static_cast<double>(rows), rows, 0);
  }
  EXPECT_NEAR(pace.row_seconds(), 0.0007, 1e-5);
  for (int i = 0; i < 5000; ++i) pace.Observe(0.019, 10, 0);
  EXPECT_NEAR(pace.row_seconds(), 0.0007, 1e-5);  // nor do these, and what was learned holds
}

}  // namespace
}  // namespace barista

#include "server/engine/scheduler.h"

#include <gtest/gtest.h>

#include "kernels/view.h"

namespace barista {
namespace {

std::vector<Scheduled> Plan(const std::vector<Runnable>& runnables, const StepBudget& budget, uint64_t first = 0) {
  std::vector<Scheduled> plan;
  Schedule(runnables, budget, first, plan);
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
  for (uint64_t step = 0; step < 300; ++step) {
    int64_t rows = 0;
    for (const Scheduled& s : Plan(runnables, {.rows_max = 128, .prefill_tokens = 64}, step)) {
      ++served[s.index];
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

}  // namespace
}  // namespace barista

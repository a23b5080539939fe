#include "kernels/cuda/step_plan.h"

#include <gtest/gtest.h>

namespace barista {
namespace {

TEST(StepPlan, RunsAreSegmentsOrChainsDecodeFirst) {
  const std::vector<Segment> segments = {
      {.slot = 4, .row = 0, .rows = 3, .position = 10, .prefill = true},
      {.slot = 7, .row = 3, .rows = 1, .position = 5},
      {.slot = 2, .row = 4, .rows = 1, .position = 6, .from = 7},
      {.slot = 1, .row = 5, .rows = 1, .position = 7, .from = 2},
      {.slot = 0, .row = 6, .rows = 2, .position = 0},
  };
  StepPlan plan;
  plan.Make(segments, 8);
  plan.Make(segments, 8);  // anew, not more
  ASSERT_EQ(plan.runs.size(), 3u);
  EXPECT_EQ(plan.decode_runs, 2);
  EXPECT_EQ(plan.runs[0].segment, 1);
  EXPECT_EQ(plan.runs[0].segments, 3);
  EXPECT_EQ(plan.runs[0].row, 3);
  EXPECT_EQ(plan.runs[0].rows, 3);
  EXPECT_EQ(plan.runs[0].position, 5);
  EXPECT_EQ(plan.runs[1].segment, 4);
  EXPECT_EQ(plan.runs[1].segments, 1);
  EXPECT_EQ(plan.runs[1].rows, 2);
  EXPECT_EQ(plan.runs[2].segment, 0);
  EXPECT_EQ(plan.run_of_row, (std::vector<int32_t>{2, 2, 2, 0, 0, 0, 1, 1}));
}

TEST(StepPlan, ChunksEndAtAbsoluteMultiples) {
  StepPlan plan;
  plan.Make(std::vector<Segment>{{.slot = 0, .row = 0, .rows = 1, .position = 63, .prefill = true},
                                 {.slot = 1, .row = 1, .rows = 130, .position = 60, .prefill = true}},
            131);
  ASSERT_EQ(plan.chunks.size(), 4u);
  const int64_t want[4][4] = {{0, 1, 63, 0}, {1, 4, 60, 1}, {5, 64, 64, 1}, {69, 62, 128, 1}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(plan.chunks[i].row, want[i][0]);
    EXPECT_EQ(plan.chunks[i].rows, want[i][1]);
    EXPECT_EQ(plan.chunks[i].position, want[i][2]);
    EXPECT_EQ(plan.chunks[i].run_row, want[i][3]);
  }
  EXPECT_EQ(plan.runs[1].first_chunk, 1);
  EXPECT_EQ(plan.runs[1].chunks, 3);
}

}  // namespace
}  // namespace barista

#include "server/engine/past.h"

#include <gtest/gtest.h>

#include <string>

namespace barista {
namespace {

constexpr int64_t kBack = 64;

class PastTest : public testing::Test {
 protected:
  static std::shared_ptr<const SessionCopy> StateAt(int64_t tokens) {
    auto copy = std::make_shared<SessionCopy>();
    copy->position = tokens;
    copy->state = std::make_shared<const std::string>(100, 'x');
    return copy;
  }

  // Reads up to `tokens` and takes a checkpoint there.
  void Keep(Past& past, Past::Kind kind, int64_t tokens, const std::string& mark = "") {
    past.Keep(
        kind, mark, tokens, [&] { return StateAt(tokens); }, kBack, cache_);
  }
  static void Read(Past& past, int64_t tokens) { past.Read(std::vector<int32_t>(tokens, 1)); }

  StateCache cache_{1 << 20};
};

TEST_F(PastTest, AMarkOutlivesTheAnchorAtItsPosition) {
  Past past;
  Read(past, 100);
  Keep(past, Past::Kind::kAnchor, 100);
  Keep(past, Past::Kind::kMark, 100, "there");
  for (int64_t tokens = 164; tokens < 1000; tokens += kBack) {
    Read(past, kBack);
    Keep(past, Past::Kind::kAnchor, tokens);
  }
  ASSERT_EQ(past.Marks().size(), 1);
  const absl::StatusOr<RewindPlan> plan = past.ToMark("there");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->from->position, 100);
}

TEST_F(PastTest, OneStateServesAllThatWereTakenAtItsPosition) {
  Past past;
  Read(past, 10);
  Keep(past, Past::Kind::kTurn, 10);
  const int64_t one = cache_.bytes();
  Keep(past, Past::Kind::kMark, 10, "a");
  Keep(past, Past::Kind::kMark, 10, "b");
  EXPECT_EQ(cache_.bytes(), one);
}

TEST_F(PastTest, AForksMarkOutlivesItsParent) {
  Past child;
  {
    Past parent;
    Read(parent, 100);
    Keep(parent, Past::Kind::kMark, 100, "there");
    child = parent;
    Keep(parent, Past::Kind::kTurn, 100);  // the same state again
  }
  EXPECT_TRUE(child.ToMark("there").ok());
}

TEST_F(PastTest, WhatNobodyHoldsIsDropped) {
  {
    Past past;
    Read(past, 100);
    Keep(past, Past::Kind::kMark, 100, "there");
    const int64_t one = cache_.bytes();
    Read(past, 10);
    Keep(past, Past::Kind::kMark, 110, "there");  // it moves
    EXPECT_EQ(cache_.bytes(), one);
    Read(past, 10);
    Keep(past, Past::Kind::kTurn, 120);
    past.CutAfter(115);
    EXPECT_EQ(cache_.bytes(), one);
  }
  EXPECT_EQ(cache_.bytes(), 0);
}

}  // namespace
}  // namespace barista

#include "server/engine/token_counts.h"

#include <gtest/gtest.h>

#include <map>

#include "server/model/state.h"

namespace barista {
namespace {

std::map<int32_t, TokenCount> ById(const TokenCounts& counts) {
  std::map<int32_t, TokenCount> by_id;
  for (const TokenCount& c : counts.counts()) by_id[c.id] = c;
  return by_id;
}

TEST(TokenCountsTest, CountsPromptAndOutputApart) {
  TokenCounts counts;
  counts.AddPrompt({5, 6, 5});
  counts.AddOutput(6);
  counts.AddOutput(9);
  counts.AddOutput(9);
  const auto by_id = ById(counts);
  ASSERT_EQ(by_id.size(), 3u);
  EXPECT_TRUE(by_id.at(5).in_prompt);
  EXPECT_EQ(by_id.at(5).in_output, 0);
  EXPECT_TRUE(by_id.at(6).in_prompt);
  EXPECT_EQ(by_id.at(6).in_output, 1);
  EXPECT_FALSE(by_id.at(9).in_prompt);
  EXPECT_EQ(by_id.at(9).in_output, 2);
}

TEST(TokenCountsTest, ALongPromptKeepsItsLastIdsAndTheOldestGiveWay) {
  std::vector<int32_t> prompt;
  for (int32_t id = 0; id < 10000; ++id) prompt.push_back(id);
  TokenCounts counts;
  counts.AddPrompt(prompt);
  auto by_id = ById(counts);
  EXPECT_EQ(by_id.size(), static_cast<size_t>(StateLayout::kPenaltyIdsMax));
  EXPECT_TRUE(by_id.contains(9999));
  EXPECT_TRUE(by_id.contains(10000 - StateLayout::kPenaltyIdsMax));
  counts.AddOutput(3);
  by_id = ById(counts);
  EXPECT_TRUE(by_id.contains(3));
  EXPECT_TRUE(by_id.contains(9999));
  EXPECT_FALSE(by_id.contains(10000 - StateLayout::kPenaltyIdsMax));
}

}  // namespace
}  // namespace barista

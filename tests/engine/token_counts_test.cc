#include "server/engine/token_counts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <random>
#include <unordered_map>
#include <vector>

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

TEST(TokenCountsTest, AgreesWithAListThatMovesWhatItSeesToItsEnd) {
  std::mt19937 random(3);
  for (const int32_t ids : {3, 100, 4096, 5000, 20000}) {
    TokenCounts counts;
    std::list<TokenCount> list;
    std::unordered_map<int32_t, std::list<TokenCount>::iterator> where;
    for (int i = 0; i < 30000; ++i) {
      // Most are few: multiples of a power of two share their home in a bad index.
      const int32_t id = static_cast<int32_t>(random() % ids) * (random() % 2 == 0 ? 1 : 8192);
      counts.AddOutput(id);
      TokenCount seen = {.id = id};
      if (const auto it = where.find(id); it != where.end()) {
        seen = *it->second;
        list.erase(it->second);
      } else if (list.size() == StateLayout::kPenaltyIdsMax) {
        where.erase(list.front().id);
        list.pop_front();
      }
      ++seen.in_output;
      where[id] = list.insert(list.end(), seen);
      if (i % 1000 == 0 && i % 3000 != 0) counts = TokenCounts::FromOldestFirst(counts.OldestFirst());
    }
    const std::vector<TokenCount> got = counts.OldestFirst();
    ASSERT_EQ(got.size(), list.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), list.begin(),
                           [](const TokenCount& a, const TokenCount& b) {
                             return a.id == b.id && a.in_output == b.in_output && a.in_prompt == b.in_prompt;
                           }))
        << ids << " ids";
    EXPECT_LE(counts.bytes(), StateLayout::kPenaltyBytes);
    EXPECT_EQ(counts.counts().size(), got.size());
  }
}

}  // namespace
}  // namespace barista

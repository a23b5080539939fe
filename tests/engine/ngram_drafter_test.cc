#include "server/engine/ngram_drafter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace barista {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<int32_t> Draft(const std::vector<int32_t>& tokens, int32_t count) {
  NgramDrafter drafter;
  for (const int32_t token : tokens) drafter.Push(token);
  std::vector<int32_t> draft = {7};
  drafter.Draft(count, draft);
  return draft;
}

TEST(NgramDrafterTest, WhatFollowedTheLastTokensBeforeIsDrafted) {
  EXPECT_THAT(Draft({1, 2, 3, 4, 5, 1, 2}, 3), ElementsAre(3, 4, 5));
  EXPECT_THAT(Draft({1, 2, 3, 4, 5, 1, 2}, 1), ElementsAre(3));
  EXPECT_THAT(Draft({1, 2, 3, 4, 5, 1, 2}, 0), IsEmpty());
}

TEST(NgramDrafterTest, TheLongestMatchWinsThenTheLatest) {
  EXPECT_THAT(Draft({1, 2, 3, 8, 9, 2, 3, 7, 1, 2, 3}, 2), ElementsAre(8, 9));
  EXPECT_THAT(Draft({2, 3, 8, 9, 2, 3, 7, 5, 2, 3}, 2), ElementsAre(7, 5));
}

TEST(NgramDrafterTest, WithoutAMatchNothingIsDrafted) {
  EXPECT_THAT(Draft({}, 4), IsEmpty());
  EXPECT_THAT(Draft({1}, 4), IsEmpty());
  EXPECT_THAT(Draft({1, 2, 3, 4, 2}, 4), IsEmpty());  // one token says little
}

TEST(NgramDrafterTest, ARepetitionGoesOn) {
  EXPECT_THAT(Draft({5, 5, 5}, 4), ElementsAre(5, 5, 5, 5));
  EXPECT_THAT(Draft({1, 2, 3, 1, 2, 3}, 7), ElementsAre(1, 2, 3, 1, 2, 3, 1));
}

// The definition, by looking everywhere.
std::vector<int32_t> Expected(const std::vector<int32_t>& tokens, int32_t count) {
  const int64_t size = static_cast<int64_t>(tokens.size());
  for (int64_t n = NgramDrafter::kLongest; n >= NgramDrafter::kShortest; --n) {
    for (int64_t place = size - 1; place - n >= std::max<int64_t>(0, size - NgramDrafter::kHistory); --place) {
      if (!std::equal(tokens.end() - n, tokens.end(), tokens.begin() + place - n)) continue;
      std::vector<int32_t> draft;
      for (int64_t i = place; i < place + count; ++i) draft.push_back(i < size ? tokens[i] : draft[i - size]);
      return draft;
    }
  }
  return {};
}

TEST(NgramDrafterTest, AgreesWithItsDefinitionOverAnyHistory) {
  std::mt19937 random(3);
  for (const int32_t alphabet : {1, 2, 3, 20, 300}) {
    NgramDrafter drafter;
    std::vector<int32_t> tokens, draft;
    int drafts = 0;
    for (int i = 0; i < 3 * NgramDrafter::kHistory; ++i) {
      tokens.push_back(static_cast<int32_t>(random() % alphabet) * 17);
      drafter.Push(tokens.back());
      if (i > 300 && i % 97 != 0) continue;
      drafter.Draft(5, draft);
      ASSERT_EQ(draft, Expected(tokens, 5)) << "token " << i << " of " << alphabet << " different ones";
      drafts += draft.empty() ? 0 : 1;
    }
    EXPECT_GT(drafts, 0) << alphabet;
  }
}

TEST(NgramDrafterTest, WhatLeftTheHistoryIsForgotten) {
  std::vector<int32_t> tokens = {-1, -2, -3};
  for (int32_t i = 0; i < NgramDrafter::kHistory; ++i) tokens.push_back(i);
  tokens.insert(tokens.end(), {-1, -2});
  EXPECT_THAT(Draft(tokens, 3), IsEmpty());
}

}  // namespace
}  // namespace barista

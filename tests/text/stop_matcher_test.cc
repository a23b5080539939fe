#include "server/text/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace barista {
namespace {

using Strings = std::vector<std::string>;

std::shared_ptr<const StopStrings> Compiled(const Strings& strings) {
  absl::StatusOr<StopStrings> compiled = StopStrings::Create(strings);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return std::make_shared<const StopStrings>(*std::move(compiled));
}

struct Outcome {
  std::string text;
  int stop_index = -1;
  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& o) { return out << o.text << '|' << o.stop_index; }
};

Outcome Match(const Strings& stops, const Strings& pieces) {
  StopMatcher matcher(Compiled(stops));
  Outcome outcome;
  for (const std::string& piece : pieces) {
    const StopMatcher::Result result = matcher.Push(piece);
    outcome.text += result.text;
    if (result.stop_index.has_value()) outcome.stop_index = *result.stop_index;
  }
  outcome.text += matcher.Flush();
  return outcome;
}

// The rule in its plainest form: the first end of any stop string, then the longest one that ends there.
Outcome Naive(const Strings& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    Outcome found;
    size_t longest = 0;
    for (size_t i = 0; i < stops.size(); ++i) {
      const size_t size = stops[i].size();
      if (size <= end && size > longest && text.compare(end - size, size, stops[i]) == 0) {
        longest = size;
        found = {.text = text.substr(0, end - size), .stop_index = static_cast<int>(i)};
      }
    }
    if (longest > 0) return found;
  }
  return {.text = text};
}

TEST(StopMatcherTest, AStopStringAcrossPiecesIsFoundAndNotSent) {
  EXPECT_EQ(Match({"STOP"}, {"go S", "TO", "P and on"}), (Outcome{"go ", 0}));
  EXPECT_EQ(Match({"STOP"}, {"go STOP", " and on"}), (Outcome{"go ", 0}));
  EXPECT_EQ(Match({"\n\n"}, {"a\n", "b\n", "\n", "c"}), (Outcome{"a\nb", 0}));
}

TEST(StopMatcherTest, AStopStringAtTheVeryStartOrEndIsFound) {
  EXPECT_EQ(Match({"ab"}, {"ab"}), (Outcome{"", 0}));
  EXPECT_EQ(Match({"ab"}, {"a", "b", "c"}), (Outcome{"", 0}));
  EXPECT_EQ(Match({"ab"}, {"xyza", "b"}), (Outcome{"xyz", 0}));
}

TEST(StopMatcherTest, TextThatOnlyBeganAStopStringIsGivenBack) {
  StopMatcher matcher(Compiled({"STOP"}));
  EXPECT_EQ(matcher.Push("go STO").text, "go ");
  EXPECT_EQ(matcher.held(), "STO");
  EXPECT_EQ(matcher.Push("ne").text, "STOne");
  EXPECT_EQ(matcher.Push("S").text, "");
  EXPECT_EQ(matcher.Flush(), "S");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, TheOneThatEndsFirstWins) {
  EXPECT_EQ(Match({"ab", "abc"}, {"xabc"}), (Outcome{"x", 0}));  // a prefix of another always wins
  EXPECT_EQ(Match({"abc", "ab"}, {"xa", "bc"}), (Outcome{"x", 1}));
  EXPECT_EQ(Match({"abcd", "bc"}, {"abcd"}), (Outcome{"a", 1}));
  EXPECT_EQ(Match({"bc", "abc"}, {"abc"}), (Outcome{"", 1}));  // those that end together: the longest
  EXPECT_EQ(Match({"ab", "ab"}, {"ab"}), (Outcome{"", 0}));    // equal ones: the first
  EXPECT_EQ(Match({"abab", "bb"}, {"aba", "bb"}), (Outcome{"", 0}));
  EXPECT_EQ(Match({"aab"}, {"aa", "ab"}), (Outcome{"a", 0}));
}

TEST(StopMatcherTest, AfterAStopNothingIsSent) {
  StopMatcher matcher(Compiled({"b"}));
  EXPECT_EQ(matcher.Push("abcd").text, "a");
  const StopMatcher::Result result = matcher.Push("efg");
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(result.stop_index, 0);
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, WithoutStopStringsTextPassesAtOnce) {
  StopMatcher matcher(std::make_shared<const StopStrings>());
  EXPECT_EQ(matcher.Push("abc").text, "abc");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, EmptyAndIllFormedStopStringsAreRefusedByIndex) {
  EXPECT_EQ(StopStrings::Create({"a", ""}).status().message(), "stop string 1 is empty");
  EXPECT_EQ(StopStrings::Create({"a", "b", "c\xFF"}).status().message(), "stop string 2 is not valid UTF-8 at byte 1");
}

TEST(StopMatcherTest, HeldTextNeverCutsACharacter) {
  StopMatcher matcher(Compiled({"\u2615!"}));
  EXPECT_EQ(matcher.Push("caf\u00E9 \u2615").text, "caf\u00E9 ");
  EXPECT_EQ(matcher.Push("\u2614").text, "\u2615\u2614");
}

TEST(StopMatcherTest, AnyCutOfAnyTextGivesTheNaiveAnswer) {
  std::mt19937 random(11);
  const auto word = [&](size_t size_max, int letters) {
    std::string text(1 + random() % size_max, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % letters);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    const int letters = 2 + static_cast<int>(random() % 2);
    Strings stops(1 + random() % 4);
    for (std::string& stop : stops) stop = word(6, letters);
    const size_t longest = std::max_element(stops.begin(), stops.end(), [](const auto& a, const auto& b) {
                             return a.size() < b.size();
                           })->size();
    const std::string text = word(24, letters);
    StopMatcher matcher(Compiled(stops));
    Outcome outcome;
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min(text.size() - at, size_t{1} + random() % 5);
      const StopMatcher::Result result = matcher.Push(text.substr(at, size));
      at += size;
      outcome.text += result.text;
      if (result.stop_index.has_value()) outcome.stop_index = *result.stop_index;
      ASSERT_LT(matcher.held().size(), longest);
      // Continuing from the held text is the same stream.
      if (!result.stop_index.has_value()) matcher = StopMatcher(Compiled(stops), std::string(matcher.held()));
    }
    outcome.text += matcher.Flush();
    ASSERT_EQ(outcome, Naive(stops, text)) << testing::PrintToString(stops) << ' ' << text;
  }
}

// Quadratic work here would be 10^10 steps.
TEST(StopMatcherTest, AdversarialRepetitionCostsLinearWork) {
  const std::string run(100000, 'a');
  StopMatcher matcher(Compiled({run + "b", run.substr(0, 50000) + "c"}));
  size_t sent = 0;
  for (int i = 0; i < 150000; ++i) sent += matcher.Push("a").text.size();
  EXPECT_EQ(sent, 50000U);
  EXPECT_EQ(matcher.held().size(), 100000U);
  const StopMatcher::Result result = matcher.Push("c");
  EXPECT_EQ(result.stop_index, 1);
  EXPECT_EQ(result.text.size(), 50000U);
}

}  // namespace
}  // namespace barista

#include "clients/cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace barista::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FlagsTest : public ::testing::Test {
 protected:
  FlagsTest() {
    flags_.Section("Numbers");
    flags_.Whole<uint32_t>("max_tokens", "How many.", [this](uint32_t n) { max_tokens_ = n; });
    flags_.Number("temperature", "How hot.", [this](double x) { temperature_ = x; });
    flags_.Switch("echo", "Say it back.", [this](bool on) { echo_ = on; });
    flags_.Value("stop", "TEXT", "Where to stop.", [this](absl::string_view text) {
      stops_.emplace_back(text);
      return absl::OkStatus();
    });
  }
  absl::StatusOr<std::vector<std::string>> Parse(std::vector<std::string> args) { return flags_.Parse(args); }

  FlagSet flags_;
  uint32_t max_tokens_ = 0;
  double temperature_ = 0;
  bool echo_ = false;
  std::vector<std::string> stops_;
};

TEST_F(FlagsTest, ValueFollowsAfterEqualsSignOrAsNextWord) {
  ASSERT_TRUE(Parse({"--max_tokens=7", "--temperature", "-0.5"}).ok());
  EXPECT_EQ(max_tokens_, 7u);
  EXPECT_EQ(temperature_, -0.5);
}

TEST_F(FlagsTest, SwitchTakesNoWordAndCanBeTurnedOff) {
  const auto arguments = Parse({"--echo", "word"});
  ASSERT_TRUE(arguments.ok());
  EXPECT_THAT(*arguments, ElementsAre("word"));
  EXPECT_TRUE(echo_);
  ASSERT_TRUE(Parse({"--echo=false"}).ok());
  EXPECT_FALSE(echo_);
  EXPECT_THAT(std::string(Parse({"--echo=maybe"}).status().message()), HasSubstr("--echo: 'maybe'"));
}

TEST_F(FlagsTest, ValueMayHoldEqualsSignsAndBeEmpty) {
  ASSERT_TRUE(Parse({"--stop=a=b", "--stop="}).ok());
  EXPECT_THAT(stops_, ElementsAre("a=b", ""));
}

TEST_F(FlagsTest, DoubleDashEndsFlags) {
  const auto arguments = Parse({"--echo", "--", "--max_tokens=1", "-"});
  ASSERT_TRUE(arguments.ok());
  EXPECT_THAT(*arguments, ElementsAre("--max_tokens=1", "-"));
  EXPECT_EQ(max_tokens_, 0u);
}

TEST_F(FlagsTest, UnknownFlagSuggestsTheNearest) {
  EXPECT_EQ(Parse({"--max_tokns=3"}).status().message(), "unknown flag --max_tokns; did you mean --max_tokens?");
  EXPECT_EQ(Parse({"--temp=3"}).status().message(), "unknown flag --temp; did you mean --temperature?");
  EXPECT_EQ(Parse({"--zzzzzz"}).status().message(), "unknown flag --zzzzzz");
  EXPECT_EQ(Parse({"-x"}).status().message(), "unknown flag -x");
}

TEST_F(FlagsTest, WrongNumbersAreRefusedByFlagAndValue) {
  for (const std::string bad : {"", "x", "-1", "1.5", "1e3", "0x10", " 1", "4294967296"}) {
    const absl::Status status = Parse({"--max_tokens=" + bad}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--max_tokens: ")) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad));
  }
  EXPECT_FALSE(Parse({"--temperature=warm"}).ok());
  EXPECT_EQ(Parse({"--temperature"}).status().message(), "--temperature needs a value: --temperature=X");
}

TEST_F(FlagsTest, WholeNumbersReachTheirLimit) {
  EXPECT_EQ(*ParseInteger<uint64_t>("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  EXPECT_FALSE(ParseInteger<uint64_t>("18446744073709551616").ok());
}

TEST_F(FlagsTest, HelpNamesEveryFlagWithItsKind) {
  EXPECT_EQ(flags_.Help(),
            "Numbers:\n"
            "  --max_tokens=N              How many.\n"
            "  --temperature=X             How hot.\n"
            "  --echo                      Say it back.\n"
            "  --stop=TEXT                 Where to stop.\n");
}

}  // namespace
}  // namespace barista::cli

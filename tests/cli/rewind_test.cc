// `barista session rewind`, and what a session tells of where it can be put back to.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/all_fields_set.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::json;

class RewindTest : public ::testing::Test {
 protected:
  RewindTest() {
    server_.rewind_response =
        FromText<v1::RewindSessionResponse>("session { name: 'sessions/demo' position: 100 } replayed_tokens: 17");
  }
  FakeServer server_;
};

TEST_F(RewindTest, EachTargetReachesItsField) {
  const std::vector<std::pair<std::string, std::string>> targets = {
      {"--tokens=6000000000", "tokens: 6000000000"}, {"--mark=m1", "mark: 'm1'"}, {"--turns=2", "turns: 2"}};
  for (const auto& [flag, field] : targets) {
    EXPECT_EQ(RunBarista(server_, {"session", "rewind", "demo", flag, "--request_id=r1"}).code, 0);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
        server_.rewind_request,
        FromText<v1::RewindSessionRequest>(absl::StrCat("name: 'sessions/demo' request_id: 'r1' ", field))))
        << server_.rewind_request.DebugString();
    ExpectAllFieldsSet(server_.rewind_request);
  }
}

TEST_F(RewindTest, ZeroIsTheServersToRefuse) {
  RunBarista(server_, {"session", "rewind", "demo", "--tokens=0"});
  EXPECT_TRUE(server_.rewind_request.has_tokens());
}

TEST_F(RewindTest, ShowsTheSessionAndWhatWasReplayed) {
  const Result text = RunBarista(server_, {"session", "rewind", "demo", "--turns=1"});
  EXPECT_THAT(text.out, HasSubstr("\nsessions/demo           100  "));
  EXPECT_EQ(text.err, "[17 tokens replayed]\n");
  EXPECT_THAT(RunBarista(server_, {"session", "rewind", "demo", "--turns=1", "--quiet"}).err, IsEmpty());
  const Result json = RunBarista(server_, {"session", "rewind", "demo", "--turns=1", "--json"});
  EXPECT_EQ(json.out, "{\"name\":\"sessions/demo\",\"position\":100,\"replayed_tokens\":17}\n");
  EXPECT_THAT(json.err, IsEmpty());
}

TEST_F(RewindTest, TakesExactlyOneTarget) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{}, {"--tokens=1", "--mark=m"}, {"--mark=m", "--turns=1"}}) {
    std::vector<std::string> args = {"session", "rewind", "demo"};
    args.insert(args.end(), flags.begin(), flags.end());
    const Result result = RunBarista(server_, args);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.err, "barista: session rewind takes exactly one of --tokens=N, --mark=NAME and --turns=N\n");
  }
  EXPECT_FALSE(server_.rewind_request.has_name());
}

TEST_F(RewindTest, SessionTellsItsTierItsMarksAndHowFarItRewinds) {
  server_.get_response = FromText<v1::GetSessionResponse>(
      "session { name: 'sessions/demo' position: 300 state_bytes: 5 tier: TIER_HOST marks { mark: 'a' position: 100 }"
      " marks { mark: 'b' position: 200 } rewind_position_min: 44 turns: 3 }");
  EXPECT_EQ(RunBarista(server_, {"session", "get", "demo"}).out,
            "name               position  busy  tier                bytes  used\n"
            "sessions/demo           300  no    host                    5  -\n"
            "  rewinds to position 44 at least\n"
            "  rewinds by 3 turns at most\n"
            "  mark a at position 100\n"
            "  mark b at position 200\n");
  EXPECT_EQ(Json::parse(RunBarista(server_, {"session", "get", "demo", "--json"}).out), Json::parse(R"({
    "name": "sessions/demo", "position": 300, "state_bytes": 5, "tier": "host", "rewind_position_min": 44, "turns": 3,
    "marks": [{"mark": "a", "position": 100}, {"mark": "b", "position": 200}]})"));
}

TEST_F(RewindTest, SessionOfAnOlderServerTellsNothingOfIt) {
  server_.get_response = FromText<v1::GetSessionResponse>("session { name: 'sessions/demo' position: 300 }");
  EXPECT_THAT(RunBarista(server_, {"session", "get", "demo"}).out, Not(HasSubstr("rewinds")));
}

}  // namespace
}  // namespace barista::cli

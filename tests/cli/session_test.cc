// `barista session`: what each action asks, and what it prints.
#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/cli/all_fields_set.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kSession[] =
    "name: 'sessions/demo' position: 6000000000 busy: true state_bytes: 1048576 model_fingerprint: 'f00d'"
    " create_time { seconds: 1767323045 } use_time { seconds: 1767323046 nanos: 500000000 }";

constexpr char kSessionJson[] = R"({
  "name": "sessions/demo", "position": 6000000000, "busy": true, "state_bytes": 1048576, "model_fingerprint": "f00d",
  "create_time": "2026-01-02T03:04:05Z", "use_time": "2026-01-02T03:04:06.500Z"})";

TEST(SessionTest, CreateSendsTheIdWithoutItsPrefix) {
  FakeServer server;
  *server.create_response.mutable_session() = FromText<v1::Session>(kSession);
  for (const char* name : {"demo", "sessions/demo"}) {
    const Result result = RunBarista(server, {"session", "create", name, "--json"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(server.create_request.session_id(), "demo");
    EXPECT_EQ(Json::parse(result.out), Json::parse(kSessionJson));
  }
}

TEST(SessionTest, CreateWithoutANameDrawsOneAndSaysItInTheMetadata) {
  FakeServer server;
  std::set<std::string> drawn;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(RunBarista(server, {"session", "create"}).code, 0);
    const std::string& id = server.create_request.session_id();
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]{16}"));
    EXPECT_EQ(server.metadata("x-barista-session"), "sessions/" + id);
    drawn.insert(id);
  }
  EXPECT_EQ(drawn.size(), 10);
}

TEST(SessionTest, CreateWithoutANameButWithARequestIdLeavesItToTheServer) {
  FakeServer server;
  EXPECT_EQ(RunBarista(server, {"session", "create", "--request_id=r"}).code, 0);
  EXPECT_FALSE(server.create_request.has_session_id());
}

TEST(SessionTest, GetSendsTheNameWithItsPrefix) {
  FakeServer server;
  *server.get_response.mutable_session() = FromText<v1::Session>(kSession);
  for (const char* name : {"demo", "sessions/demo"}) {
    EXPECT_EQ(Json::parse(RunBarista(server, {"session", "get", name, "--json"}).out), Json::parse(kSessionJson));
    EXPECT_EQ(server.get_request.name(), "sessions/demo");
  }
}

TEST(SessionTest, ListGathersAllPages) {
  FakeServer server;
  server.pages = {FromText<v1::ListSessionsResponse>(
                      "sessions { name: 'sessions/a' } sessions { name: 'sessions/b' } next_page_token: 'p2'"),
                  FromText<v1::ListSessionsResponse>("sessions { name: 'sessions/c' }")};
  const Result result = RunBarista(server, {"session", "list", "--json"});
  EXPECT_EQ(result.out,
            "{\"sessions\":[{\"name\":\"sessions/a\"},{\"name\":\"sessions/b\"},{\"name\":\"sessions/c\"}]}\n");
  ASSERT_EQ(server.list_requests.size(), 2u);
  EXPECT_THAT(server.list_requests[0].page_token(), IsEmpty());
  EXPECT_EQ(server.list_requests[1].page_token(), "p2");
}

TEST(SessionTest, ListOfNoneIsAnEmptyArray) {
  FakeServer server;
  EXPECT_EQ(RunBarista(server, {"session", "list", "--json"}).out, "{\"sessions\":[]}\n");
}

TEST(SessionTest, TableTellsPositionStateAndAge) {
  FakeServer server;
  server.pages.resize(1);
  const int64_t now = TimeUtil::TimestampToSeconds(TimeUtil::GetCurrentTime());
  // Half a unit more than whole ones, so that the time this test takes changes nothing; the first is of a clock ahead.
  for (const int64_t age : {-1000, 150, 9000, 216000}) {
    v1::Session& session = *server.pages[0].add_sessions() = FromText<v1::Session>(kSession);
    *session.mutable_use_time() = TimeUtil::SecondsToTimestamp(now - age);
  }
  server.pages[0].mutable_sessions(1)->set_busy(false);
  server.pages[0].mutable_sessions(1)->set_tier(v1::TIER_DIRECTORY);
  server.pages[0].add_sessions()->set_name("sessions/much-longer");
  EXPECT_EQ(RunBarista(server, {"session", "list"}).out,
            "name                      position  busy  tier                bytes  used\n"
            "sessions/demo           6000000000  yes   -                 1048576  0 s ago\n"
            "sessions/demo           6000000000  no    directory         1048576  2 min ago\n"
            "sessions/demo           6000000000  yes   -                 1048576  2 h ago\n"
            "sessions/demo           6000000000  yes   -                 1048576  2 d ago\n"
            "sessions/much-longer             0  no    -                       0  -\n");
}

TEST(SessionTest, ForkSendsTheNameAndTheIdsInOrder) {
  FakeServer server;
  server.fork_response =
      FromText<v1::ForkSessionResponse>("sessions { name: 'sessions/b' } sessions { name: 'sessions/a' }");
  const Result result = RunBarista(server, {"session", "fork", "demo", "b", "sessions/a", "--json"});
  EXPECT_EQ(server.fork_request.name(), "sessions/demo");
  EXPECT_THAT(server.fork_request.session_ids(), ElementsAre("b", "a"));
  EXPECT_EQ(result.out, "{\"sessions\":[{\"name\":\"sessions/b\"},{\"name\":\"sessions/a\"}]}\n");
}

TEST(SessionTest, FlagsOfForkCreateAndDeleteReachTheirFields) {
  FakeServer server;
  ASSERT_EQ(RunBarista(server, {"session", "fork", "demo", "a", "--repeat_parent", "--request_id=r1"}).code, 0);
  EXPECT_TRUE(server.fork_request.repeat_parent());
  ExpectAllFieldsSet(server.fork_request);
  ASSERT_EQ(RunBarista(server, {"session", "fork", "demo", "a", "--repeat_parent=false"}).code, 0);
  EXPECT_FALSE(server.fork_request.repeat_parent());
  ASSERT_EQ(RunBarista(server, {"session", "create", "a", "--request_id=r1"}).code, 0);
  EXPECT_EQ(server.create_request.request_id(), "r1");
  ExpectAllFieldsSet(server.create_request);
  ASSERT_EQ(RunBarista(server, {"session", "delete", "a", "--request_id=r1"}).code, 0);
  ExpectAllFieldsSet(server.delete_request);
}

TEST(SessionTest, DeletePrintsNothingOrAnEmptyObject) {
  FakeServer server;
  const Result result = RunBarista(server, {"session", "delete", "demo"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out + result.err, IsEmpty());
  EXPECT_EQ(server.delete_request.name(), "sessions/demo");
  EXPECT_EQ(RunBarista(server, {"session", "delete", "demo", "--json"}).out, "{}\n");
}

TEST(SessionTest, EveryActionTellsAFailedCall) {
  FakeServer server;
  server.status = grpc::Status(grpc::StatusCode::ABORTED, "a call runs on sessions/demo");
  for (const std::vector<std::string>& action : std::vector<std::vector<std::string>>{{"create", "demo"},
                                                                                      {"get", "demo"},
                                                                                      {"list"},
                                                                                      {"fork", "demo", "copy"},
                                                                                      {"delete", "demo"},
                                                                                      {"export", "demo", "-"},
                                                                                      {"rewind", "demo", "--turns=1"},
                                                                                      {"snapshot", "demo", "kept"},
                                                                                      {"restore", "kept", "demo"},
                                                                                      {"snapshots"},
                                                                                      {"snapshot-info", "kept"},
                                                                                      {"drop", "kept"},
                                                                                      {"import", "-"}}) {
    std::vector<std::string> args = {"session", "--json"};
    args.insert(args.end(), action.begin(), action.end());
    const Result result = RunBarista(server, args);
    EXPECT_EQ(result.code, 7) << action.front();
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_EQ(Json::parse(result.err)["error"]["code"], "ABORTED");
  }
}

TEST(SessionTest, WrongActionsAndCountsOfNamesAreUsageErrors) {
  FakeServer server;
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"session"}, "no action"},
      {{"session", "lst"}, "unknown action 'lst'; did you mean list?"},
      {{"session", "create", "a", "b"}, "usage: barista session create [NAME]\n"},
      {{"session", "get"}, "usage: barista session get NAME\n"},
      {{"session", "list", "a"}, "usage: barista session list\n"},
      {{"session", "fork", "a"}, "usage: barista session fork NAME COPY...\n"},
      {{"session", "delete", "a", "b"}, "usage: barista session delete NAME\n"},
      {{"session", "export", "a"}, "usage: barista session export NAME FILE\n"},
      {{"session", "import"}, "usage: barista session import FILE [NAME]\n"},
      {{"session", "rewind", "--turns=1"}, "usage: barista session rewind NAME\n"},
      {{"session", "snapshot"}, "usage: barista session snapshot NAME [SNAP]\n"},
      {{"session", "restore"}, "usage: barista session restore SNAP [NAME]\n"},
      {{"session", "snapshots", "a"}, "usage: barista session snapshots\n"},
      {{"session", "snapshot-info"}, "usage: barista session snapshot-info SNAP\n"},
      {{"session", "drop"}, "usage: barista session drop SNAP\n"},
      {{"session", "create", "a", "--replace"}, "--replace is no flag of session create"},
      {{"session", "restore", "a", "--tag=k=v"}, "--tag is no flag of session restore"},
      {{"session", "list", "--request_id=r"}, "--request_id is no flag of session list"},
      {{"session", "rewind", "a", "--tokens=-1"}, "--tokens: '-1' is not a whole number"},
      {{"session", "snapshot", "a", "--tag=k"}, "--tag: 'k' is not KEY=VALUE"},
      {{"session", "snapshot", "a", "--tag==v"}, "--tag: '=v' is not KEY=VALUE"},
      {{"session", "snapshot", "a", "--tag=k=1", "--tag=k=2"}, "--tag: 'k' is given twice"},
  };
  for (const auto& [args, message] : wrong) {
    const Result result = RunBarista(server, args);
    EXPECT_EQ(result.code, 2);
    EXPECT_THAT(result.err, StartsWith("barista: " + message));
  }
  EXPECT_FALSE(server.create_request.has_session_id());
  EXPECT_THAT(server.list_requests, IsEmpty());
}

TEST(SessionTest, HelpListsTheActions) {
  FakeServer server;
  const std::string help = RunBarista(server, {"session", "--help"}).out;
  for (const char* line :
       {"  create [NAME] ", "  get NAME ", "  list ", "  fork NAME COPY... ", "  delete NAME ", "  export NAME FILE ",
        "  import FILE [NAME] ", "  rewind NAME ", "  snapshot NAME [SNAP] ", "  restore SNAP [NAME] ", "  snapshots ",
        "  snapshot-info SNAP ", "  drop SNAP ", "  --repeat_parent ", "  --tag=KEY=VALUE ", "  --turns=N "}) {
    EXPECT_THAT(help, HasSubstr(line));
  }
}

}  // namespace
}  // namespace barista::cli

// `barista session snapshot`, `restore`, `snapshots`, `snapshot-info` and `drop`.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/all_fields_set.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using google::protobuf::util::MessageDifferencer;
using google::protobuf::util::TimeUtil;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

constexpr char kSnapshot[] =
    "name: 'snapshots/kept' session: 'sessions/demo' position: 6000000000 bytes: 1048576 model_fingerprint: 'f00d'"
    " tags { key: 'who' value: 'me' } tags { key: 'a' value: '' } create_time { seconds: 1767323045 }";

constexpr char kSnapshotJson[] = R"({
  "name": "snapshots/kept", "session": "sessions/demo", "position": 6000000000, "bytes": 1048576,
  "model_fingerprint": "f00d", "tags": {"a": "", "who": "me"}, "create_time": "2026-01-02T03:04:05Z"})";

TEST(SnapshotTest, EveryFlagReachesItsFieldAndTheSnapshotIsShown) {
  FakeServer server;
  *server.snapshot_response.mutable_snapshot() = FromText<v1::Snapshot>(kSnapshot);
  for (const auto& [session, snapshot] : {std::pair("demo", "kept"), std::pair("sessions/demo", "snapshots/kept")}) {
    const Result result = RunBarista(server, {"session", "snapshot", session, snapshot, "--tag=who=me", "--tag=why=a=b",
                                              "--tag=a=", "--replace", "--request_id=r1", "--json"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(Json::parse(result.out), Json::parse(kSnapshotJson));
    EXPECT_TRUE(MessageDifferencer::Equals(
        server.snapshot_request,
        FromText<v1::SnapshotSessionRequest>(
            "name: 'sessions/demo' snapshot_id: 'kept' tags { key: 'who' value: 'me' } tags { key: 'why' value: 'a=b' }"
            " tags { key: 'a' value: '' } replace: true request_id: 'r1'")));
    ExpectAllFieldsSet(server.snapshot_request);
  }
}

TEST(SnapshotTest, WhatIsNotGivenIsNotSent) {
  FakeServer server;
  ASSERT_EQ(RunBarista(server, {"session", "snapshot", "demo"}).code, 0);
  EXPECT_TRUE(MessageDifferencer::Equals(server.snapshot_request,
                                         FromText<v1::SnapshotSessionRequest>("name: 'sessions/demo'")));
  ASSERT_EQ(RunBarista(server, {"session", "restore", "kept", "--request_id=r"}).code, 0);
  EXPECT_TRUE(MessageDifferencer::Equals(
      server.restore_request, FromText<v1::RestoreSessionRequest>("snapshot: 'snapshots/kept' request_id: 'r'")));
}

TEST(SnapshotTest, RestoreWithoutANameDrawsOne) {
  FakeServer server;
  ASSERT_EQ(RunBarista(server, {"session", "restore", "kept"}).code, 0);
  EXPECT_EQ(server.restore_request.session_id().size(), 16);
  EXPECT_EQ(server.metadata("x-barista-session"), "sessions/" + server.restore_request.session_id());
}

TEST(SnapshotTest, RestoreShowsTheSession) {
  FakeServer server;
  server.restore_response =
      FromText<v1::RestoreSessionResponse>("session { name: 'sessions/again' position: 42 } prefill_tokens: 0");
  const Result result =
      RunBarista(server, {"session", "restore", "kept", "again", "--replace", "--request_id=r1", "--json"});
  EXPECT_EQ(Json::parse(result.out), (Json{{"name", "sessions/again"}, {"position", 42}, {"prefill_tokens", 0}}));
  EXPECT_TRUE(MessageDifferencer::Equals(
      server.restore_request, FromText<v1::RestoreSessionRequest>("snapshot: 'snapshots/kept' session_id: 'again'"
                                                                  " replace: true request_id: 'r1'")));
  ExpectAllFieldsSet(server.restore_request);
  EXPECT_THAT(RunBarista(server, {"session", "restore", "kept"}).out, HasSubstr("\nsessions/again "));
}

TEST(SnapshotTest, ListGathersAllPages) {
  FakeServer server;
  server.snapshot_pages = {
      FromText<v1::ListSnapshotsResponse>("snapshots { name: 'snapshots/a' } next_page_token: 'p2'"),
      FromText<v1::ListSnapshotsResponse>("snapshots { name: 'snapshots/b' }")};
  EXPECT_EQ(RunBarista(server, {"session", "snapshots", "--json"}).out,
            "{\"snapshots\":[{\"name\":\"snapshots/a\"},{\"name\":\"snapshots/b\"}]}\n");
  ASSERT_EQ(server.list_snapshots_requests.size(), 2u);
  EXPECT_EQ(server.list_snapshots_requests[1].page_token(), "p2");
}

TEST(SnapshotTest, TableTellsSessionAgeAndTags) {
  FakeServer server;
  server.snapshot_pages.resize(1);
  v1::Snapshot& snapshot = *server.snapshot_pages[0].add_snapshots() = FromText<v1::Snapshot>(kSnapshot);
  *snapshot.mutable_create_time() = TimeUtil::GetCurrentTime() - TimeUtil::SecondsToDuration(9000);
  server.snapshot_pages[0].add_snapshots()->set_name("snapshots/much-longer");
  EXPECT_EQ(RunBarista(server, {"session", "snapshots"}).out,
            "name                   session            position           bytes  taken       tags\n"
            "snapshots/kept         sessions/demo    6000000000         1048576  2 h ago     a= who=me\n"
            "snapshots/much-longer                            0               0  -\n");
}

TEST(SnapshotTest, InfoShowsOne) {
  FakeServer server;
  *server.get_snapshot_response.mutable_snapshot() = FromText<v1::Snapshot>(kSnapshot);
  for (const char* name : {"kept", "snapshots/kept"}) {
    EXPECT_EQ(Json::parse(RunBarista(server, {"session", "snapshot-info", name, "--json"}).out),
              Json::parse(kSnapshotJson));
    EXPECT_EQ(server.get_snapshot_request.name(), "snapshots/kept");
  }
  EXPECT_THAT(RunBarista(server, {"session", "snapshot-info", "kept"}).out, HasSubstr("a= who=me\n"));
}

TEST(SnapshotTest, DropPrintsNothingOrAnEmptyObject) {
  FakeServer server;
  const Result result = RunBarista(server, {"session", "drop", "kept", "--request_id=r1"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out + result.err, IsEmpty());
  EXPECT_EQ(server.delete_snapshot_request.name(), "snapshots/kept");
  ExpectAllFieldsSet(server.delete_snapshot_request);
  EXPECT_EQ(RunBarista(server, {"session", "drop", "kept", "--json"}).out, "{}\n");
}

TEST(SnapshotTest, DamagedSnapshotExits1AndMissingOne3) {
  FakeServer server;
  server.status = grpc::Status(grpc::StatusCode::DATA_LOSS, "snapshots/kept was damaged where it lay");
  EXPECT_EQ(RunBarista(server, {"session", "restore", "kept"}).code, 1);
  server.status = grpc::Status(grpc::StatusCode::NOT_FOUND, "no snapshots/kept");
  EXPECT_EQ(RunBarista(server, {"session", "restore", "kept"}).code, 3);
}

}  // namespace
}  // namespace barista::cli

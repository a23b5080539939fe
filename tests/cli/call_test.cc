// How calls fail: exit codes, error texts and error objects.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

grpc::Status WithDetails(grpc::StatusCode code, const std::string& message) {
  google::rpc::Status rich;
  rich.set_code(code);
  rich.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason("INVALID_FIELD");
  info.set_domain("barista");
  rich.add_details()->PackFrom(info);
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field("sampling.top_p");
  violation->set_description("2 is not above 0 and at most 1");
  rich.add_details()->PackFrom(bad_request);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  rich.add_details()->PackFrom(retry);
  return grpc::Status(code, message, rich.SerializeAsString());
}

TEST(CallTest, ExitCodeTellsTheKindOfFailure) {
  FakeServer server;
  const std::vector<std::pair<grpc::StatusCode, int>> expected = {
      {grpc::StatusCode::INTERNAL, 1},
      {grpc::StatusCode::CANCELLED, 1},
      {grpc::StatusCode::INVALID_ARGUMENT, 3},
      {grpc::StatusCode::FAILED_PRECONDITION, 3},
      {grpc::StatusCode::OUT_OF_RANGE, 3},
      {grpc::StatusCode::UNAVAILABLE, 4},
      {grpc::StatusCode::RESOURCE_EXHAUSTED, 5},
      {grpc::StatusCode::DEADLINE_EXCEEDED, 6},
      {grpc::StatusCode::NOT_FOUND, 3},
      {grpc::StatusCode::ALREADY_EXISTS, 3},
      {grpc::StatusCode::ABORTED, 7},
      {grpc::StatusCode::PERMISSION_DENIED, 3},
      {grpc::StatusCode::UNIMPLEMENTED, 3},
      {grpc::StatusCode::DATA_LOSS, 1},
  };
  for (const auto& [code, exit_code] : expected) {
    server.status = WithDetails(code, "because");
    for (const char* command : {"generate", "score", "classify", "tokenize"}) {
      EXPECT_EQ(RunBarista(server, {command, "text"}).code, exit_code) << command << " " << code;
    }
    EXPECT_EQ(RunBarista(server, {"describe"}).code, exit_code);
    EXPECT_EQ(RunBarista(server, {"detokenize", "1"}).code, exit_code);
    EXPECT_EQ(RunBarista(server, {"session", "list"}).code, exit_code);
  }
}

TEST(CallTest, ErrorTextShowsReasonFieldsAndRetryDelay) {
  FakeServer server;
  server.status = WithDetails(grpc::StatusCode::INVALID_ARGUMENT, "bad sampling");
  const Result result = RunBarista(server, {"score", "text"});
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "barista: INVALID_ARGUMENT: bad sampling\n"
            "  reason: INVALID_FIELD\n"
            "  field sampling.top_p: 2 is not above 0 and at most 1\n"
            "  try again after 1.5 s\n");
}

TEST(CallTest, FieldThatTheMessageHasNamedIsNotToldTwice) {
  FakeServer server;
  server.status = WithDetails(grpc::StatusCode::INVALID_ARGUMENT, "2 is not above 0 and at most 1");
  EXPECT_EQ(RunBarista(server, {"score", "text"}).err,
            "barista: INVALID_ARGUMENT: 2 is not above 0 and at most 1\n"
            "  reason: INVALID_FIELD\n"
            "  try again after 1.5 s\n");
}

TEST(CallTest, MessageThatIsTooLongIsARefusalAndNotAFullServer) {
  FakeServer server;
  server.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "larger than max");
  const Result result = RunBarista(server, {"score", "text"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("message_bytes_max"));
}

TEST(CallTest, ErrorJsonIsOneObjectOnStderr) {
  FakeServer server;
  server.status = WithDetails(grpc::StatusCode::INVALID_ARGUMENT, "bad sampling");
  const Result result = RunBarista(server, {"generate", "text", "--json"});
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(Json::parse(result.err), Json::parse(R"({"error": {
    "code": "INVALID_ARGUMENT", "message": "bad sampling", "reason": "INVALID_FIELD", "retry_delay_seconds": 1.5,
    "field_violations": [{"field": "sampling.top_p", "description": "2 is not above 0 and at most 1"}]}})"));
}

TEST(CallTest, WhatASnapshotHasOfTheSessionIsTold) {
  google::rpc::Status rich;
  google::rpc::ErrorInfo info;
  info.set_reason("ENGINE_FAILED");
  (*info.mutable_metadata())["durable_position"] = "120";
  rich.add_details()->PackFrom(info);
  FakeServer server;
  server.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the device failed", rich.SerializeAsString());
  EXPECT_THAT(RunBarista(server, {"generate", "text"}).err, HasSubstr("a snapshot has the session's first 120 tokens"));
  const Json error = Json::parse(RunBarista(server, {"generate", "text", "--json"}).err);
  EXPECT_EQ(error["error"]["metadata"], Json::parse(R"({"durable_position": "120"})"));
}

TEST(CallTest, MissingServerIsNamed) {
  FakeServer server;
  // Port 1 of the loopback: nothing listens there.
  const Result result = RunBarista(server, {"--server=127.0.0.1:1", "describe"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("is barista-server running at 127.0.0.1:1?"));
}

TEST(CallTest, UsageErrorsSendNothingAndExit2) {
  FakeServer server;
  const std::vector<std::vector<std::string>> wrong = {
      {"generate"},
      {"generate", "two", "words"},
      {"generate", "two", "words", "--session=demo"},
      {"generate", "text", "--tokens=1"},
      {"generate", "--tokens=1,,2"},
      {"generate", "--tokens=4294967296"},
      {"generate", "text", "--max_tokens=-1"},
      {"generate", "text", "--temperature=hot"},
      {"generate", "text", "--logit_bias=5"},
      {"generate", "text", "--logit_bias=5:x"},
      {"generate", "text", "--deadline_s=0"},
      {"generate", "text", "--deadline_s=nan"},
      {"generate", "text", "--server="},
      {"score", "text", "--temperature=1"},
      {"describe", "text"},
      {"repl", "text"},
      {"chat", "text"},
      {"generate", "--sealed_state="},
      {"append", "file"},
      {"append", "--session=demo", "file", "--tokens=1"},
      {"append", "--session=demo", "one", "two"},
      {"append", "--session=demo", "--tokens=1,x"},
      {"brew"},
      {"--colour=red", "generate", "text"},
  };
  for (const std::vector<std::string>& args : wrong) {
    const Result result = RunBarista(server, args);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_THAT(result.err, ::testing::StartsWith("barista: "));
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_FALSE(server.generate_request.has_text() || server.generate_request.has_tokens());
}

TEST(CallTest, UsageErrorsAreJsonWhereverTheFlagStands) {
  FakeServer server;
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"generate", "--top_q=1", "--json"}, {"--json", "generate"}}) {
    EXPECT_EQ(Json::parse(RunBarista(server, args).err)["error"]["code"], "USAGE");
  }
}

TEST(CallTest, UnreadableFileIsNamed) {
  FakeServer server;
  const Result result = RunBarista(server, {"score", "--prompt_file=/nonexistent/file"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "barista: cannot read /nonexistent/file\n");
  EXPECT_EQ(RunBarista(server, {"score", "--prompt_file=/"}).err, "barista: cannot read /\n");
}

}  // namespace
}  // namespace barista::cli

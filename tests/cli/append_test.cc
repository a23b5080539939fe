// `barista append`: what it sends, what it prints, and what it tells of a session that got a part of the text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/cli/all_fields_set.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

class AppendTest : public ::testing::Test {
 protected:
  AppendTest() {
    server_.append_response = FromText<v1::AppendResponse>(
        "session_position: 6000000000 usage { prompt_tokens: 3 } timings { prefill_seconds: 0.5 total_seconds: 0.75 }"
        " model_fingerprint: 'f00d'");
    server_.get_response = FromText<v1::GetSessionResponse>("session { name: 'sessions/demo' position: 42 }");
  }

  // Ctrl-C when the server has the first message; it then waits for the call to be cancelled.
  void InterruptAfterTheFirstMessage() {
    server_.after_message = [](grpc::ServerContext& context) {
      raise(SIGINT);
      while (!context.IsCancelled()) std::this_thread::yield();
    };
  }

  FakeServer server_;
  const std::string lines_ = std::string(99, 'x') + '\n';
};

TEST_F(AppendTest, TextComesFromStdinOrAFile) {
  const std::string path = ::testing::TempDir() + "append_test.txt";
  std::ofstream(path, std::ios::binary) << "from a\r\nfile";
  const std::vector<std::pair<std::vector<std::string>, std::string>> inputs = {
      {{"append", "--session=demo"}, "from stdin\n"},
      {{"append", "--session=sessions/demo", "-"}, "from stdin\n"},
      {{"append", "--session=demo", path}, "from a\r\nfile"}};
  for (const auto& [args, text] : inputs) {
    const Result result = RunBarista(server_, args, "from stdin\n");
    EXPECT_EQ(result.code, 0) << result.err;
    ASSERT_EQ(server_.append_requests.size(), 1u);
    EXPECT_EQ(server_.append_requests[0].session(), "sessions/demo");
    EXPECT_EQ(server_.append_requests[0].text(), text);
  }
}

TEST_F(AppendTest, LongTextComesInPiecesThatJoinToIt) {
  std::string text;
  while (text.size() < 1'000'000) text += lines_;
  EXPECT_EQ(RunBarista(server_, {"append", "--session=demo"}, text).code, 0);
  std::string joined;
  for (const v1::AppendRequest& request : server_.append_requests) {
    EXPECT_EQ(request.has_session(), joined.empty());
    EXPECT_LE(request.text().size(), 262144u);
    EXPECT_THAT(request.text(), EndsWith("x\n"));
    joined += request.text();
  }
  EXPECT_EQ(server_.append_requests.size(), 4u);
  EXPECT_TRUE(joined == text);
}

TEST_F(AppendTest, TokensAreSentAsTheyStand) {
  ASSERT_EQ(RunBarista(server_, {"append", "--session=demo", "--tokens=1,2,4294967295"}, "not read").code, 0);
  ASSERT_EQ(server_.append_requests.size(), 1u);
  EXPECT_THAT(server_.append_requests[0].tokens().ids(), ElementsAre(1, 2, 4294967295u));
}

TEST_F(AppendTest, MarkIsInTheFirstMessageAlone) {
  ASSERT_EQ(RunBarista(server_, {"append", "--session=demo", "--mark=m1"}, std::string(300'000, 'x')).code, 0);
  ASSERT_EQ(server_.append_requests.size(), 2u);
  EXPECT_EQ(server_.append_requests[0].mark(), "m1");
  ExpectAllFieldsSet(server_.append_requests[0]);
  EXPECT_FALSE(server_.append_requests[1].has_mark());
}

TEST_F(AppendTest, EmptyAndInvalidTextAreSentForTheServerToRefuse) {
  for (const std::string text : {"", "\xff\xfe"}) {
    ASSERT_EQ(RunBarista(server_, {"append", "--session=demo"}, text).code, 0);
    ASSERT_EQ(server_.append_requests.size(), 1u);
    EXPECT_TRUE(server_.append_requests[0].has_text());
    EXPECT_EQ(server_.append_requests[0].text(), text);
  }
}

TEST_F(AppendTest, PositionGoesToStdoutAndStatisticsToStderr) {
  const Result result = RunBarista(server_, {"append", "--session=demo"}, "text");
  EXPECT_EQ(result.out, "sessions/demo is at position 6000000000\n");
  EXPECT_EQ(result.err, "[3 tokens at 6.0 tokens/s]\n");
  EXPECT_THAT(RunBarista(server_, {"append", "--session=demo", "--quiet"}, "text").err, IsEmpty());
}

TEST_F(AppendTest, JsonIsOneObject) {
  const Result result = RunBarista(server_, {"append", "--session=demo", "--json"}, "text", {.err = true});
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_EQ(Json::parse(result.out), Json::parse(R"({
    "session_position": 6000000000, "usage": {"prompt_tokens": 3, "generated_tokens": 0, "cached_tokens": 0},
    "timings": {"queue_seconds": 0.0, "prefill_seconds": 0.5, "decode_seconds": 0.0,
                "time_to_first_token_seconds": 0.0, "total_seconds": 0.75},
    "model_fingerprint": "f00d"})"));
}

TEST_F(AppendTest, ProgressIsShownOnTerminalsAloneAndErased) {
  const std::string path = ::testing::TempDir() + "append_progress_test.txt";
  std::ofstream(path, std::ios::binary) << std::string(400'000, 'x');
  EXPECT_THAT(RunBarista(server_, {"append", "--session=demo", path}, "", {.err = true}).err,
              StartsWith("\rsent 262144 of 400000 bytes (66 %)\rsent 400000 of 400000 bytes (100 %)\r\033[K["));
  EXPECT_THAT(RunBarista(server_, {"append", "--session=demo"}, "text", {.err = true}).err,
              StartsWith("\rsent 4 bytes\r\033[K["));
  EXPECT_THAT(RunBarista(server_, {"append", "--session=demo"}, "text").err, Not(HasSubstr("sent")));
}

TEST_F(AppendTest, InterruptTellsThePositionOnceTheSessionIsIdle) {
  InterruptAfterTheFirstMessage();
  server_.busy_answers = 2;
  const Result result = RunBarista(server_, {"append", "--session=demo"}, std::string(5'000'000, 'x'));
  EXPECT_EQ(result.code, 130);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err, "barista: interrupted\n  sessions/demo is at position 42\n");
  EXPECT_EQ(server_.get_request.name(), "sessions/demo");
  EXPECT_EQ(server_.busy_answers, 0);
}

TEST_F(AppendTest, InterruptTellsThePositionInTheErrorObject) {
  InterruptAfterTheFirstMessage();
  const Result result = RunBarista(server_, {"append", "--session=demo", "--json"}, std::string(5'000'000, 'x'));
  EXPECT_EQ(result.code, 130);
  const Json error = Json::parse(result.err)["error"];
  EXPECT_EQ(error["code"], "CANCELLED");
  EXPECT_EQ(error["session_position"], 42);
}

TEST_F(AppendTest, DeadlineTellsThePositionToo) {
  server_.after_message = [](grpc::ServerContext& context) {
    while (!context.IsCancelled()) std::this_thread::yield();
  };
  const Result result = RunBarista(server_, {"append", "--session=demo", "--deadline_s=0.05"}, "text");
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, EndsWith("\n  sessions/demo is at position 42\n"));
}

TEST_F(AppendTest, RefusalEndsTheSending) {
  server_.status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "text: not UTF-8");
  const Result result = RunBarista(server_, {"append", "--session=demo"}, "\xff");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.err, "barista: INVALID_ARGUMENT: text: not UTF-8\n");  // GetSession fails here as well
  server_.status = grpc::Status(grpc::StatusCode::ABORTED, "a call runs on sessions/demo");
  EXPECT_EQ(RunBarista(server_, {"append", "--session=demo"}, "text").code, 7);
}

TEST_F(AppendTest, UnreadableFileIsNamedAndNothingIsSent) {
  for (const char* file : {"/nonexistent/file", "/"}) {
    const Result result = RunBarista(server_, {"append", "--session=demo", file});
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(result.err, absl::StrCat("barista: cannot read ", file, "\n"));
  }
  EXPECT_THAT(server_.append_requests, IsEmpty());
}

}  // namespace
}  // namespace barista::cli

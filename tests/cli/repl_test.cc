#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;

class ReplTest : public ::testing::Test {
 protected:
  ReplTest() {
    server_.stream = {FromText("chunk { text: ' more' token_ids: 1 finish_reason: FINISH_REASON_LENGTH }"),
                      FromText("summary { usage { generated_tokens: 1 } }")};
  }
  Result Type(const std::string& lines) { return RunBarista(server_, {"repl", "--quiet"}, lines); }
  FakeServer server_;
};

TEST_F(ReplTest, ContinuesEachLineAndLeavesAtTheEnd) {
  const Result result = Type("once\n\ntwice\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, " more\n more\n");
  EXPECT_EQ(server_.generate_request.text(), "twice");
}

TEST_F(ReplTest, StartsWithoutACommandOnATerminal) {
  const Result result = RunBarista(server_, {}, "/quit\nnot read\n", {.in = true});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("/help"));
  EXPECT_FALSE(server_.generate_request.has_text());
}

TEST_F(ReplTest, BackslashJoinsLines) {
  Type("def f():\\\n  return\n");
  EXPECT_EQ(server_.generate_request.text(), "def f():\n  return");
}

TEST_F(ReplTest, MoreGoesOnWhereTheTextEnded) {
  Type("once\n/more\n/more\n");
  EXPECT_EQ(server_.generate_request.text(), "once more more");
  EXPECT_THAT(Type("/more\n").err, HasSubstr("nothing to continue"));
}

TEST_F(ReplTest, SetChangesTheRequestAndResetForgetsIt) {
  const Result result = Type("/set temperature 0.5\n/set stop \\n\\n\n/params\nonce\n");
  EXPECT_EQ(server_.generate_request.sampling().temperature(), 0.5f);
  EXPECT_THAT(server_.generate_request.stop().stop_strings(), ::testing::ElementsAre("\n\n"));
  EXPECT_THAT(result.out, HasSubstr("{\"temperature\":0.5}"));
  Type("/set top_k 5\n/reset\nonce\n");
  EXPECT_FALSE(server_.generate_request.has_sampling());
}

TEST_F(ReplTest, SpeculationIsAParameterToo) {
  const Result result = Type("/set speculation_tokens 4\n/params\nonce\n");
  EXPECT_EQ(server_.generate_request.speculation_tokens(), 4u);
  EXPECT_THAT(result.out, HasSubstr("{\"speculation_tokens\":4}"));
  Type("/set speculation_tokens 4\n/reset\nonce\n");
  EXPECT_FALSE(server_.generate_request.has_speculation_tokens());
}

TEST_F(ReplTest, BiasesAreShownByTheirTokens) {
  EXPECT_THAT(Type("/set logit_bias 10:1,9:-2.5\n/params\n").out,
              HasSubstr("{\"logit_bias\":{\"9\":-2.5,\"10\":1.0}}"));
}

TEST_F(ReplTest, MistakesAreToldAndTheLoopGoesOn) {
  const Result result = Type("/set temprature 1\n/set top_k many\n/set top_k\n/brew\nonce\n");
  EXPECT_THAT(result.err, HasSubstr("did you mean --temperature?"));
  EXPECT_THAT(result.err, HasSubstr("--top_k: 'many'"));
  EXPECT_THAT(result.err, HasSubstr("usage: /set NAME VALUE"));
  EXPECT_THAT(result.err, HasSubstr("unknown command /brew"));
  EXPECT_EQ(result.out, " more\n");
}

TEST_F(ReplTest, FailedCallLeavesTheLoopRunning) {
  server_.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  const Result result = Type("once\ntwice\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(server_.generate_request.text(), "twice");
  EXPECT_THAT(result.err, HasSubstr("RESOURCE_EXHAUSTED: full"));
}

TEST_F(ReplTest, InterruptStopsTheRunningContinuationOnly) {
  server_.after_stream = [this](grpc::ServerContext& context) {
    while (server_.generate_request.text() == "once" && !context.IsCancelled()) std::this_thread::yield();
  };
  const Result result = RunBarista(server_, {"repl", "--quiet"}, "once\ntwice\n", {}, [](const std::string& out) {
    if (out == " more") raise(SIGINT);
  });
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(server_.generate_request.text(), "twice");
  EXPECT_EQ(result.out, " more\n more\n");
}

TEST_F(ReplTest, SessionGetsTheTypedLineAloneAndMoreNothing) {
  server_.get_response.mutable_session()->set_name("sessions/demo");
  const Result result = Type("once\n/session demo\ntwice\n");
  EXPECT_EQ(server_.get_request.name(), "sessions/demo");
  EXPECT_THAT(result.out, HasSubstr("sessions/demo"));
  EXPECT_EQ(server_.generate_request.session(), "sessions/demo");
  EXPECT_EQ(server_.generate_request.text(), "twice");
  Type("/session demo\nonce\n/more\n");
  EXPECT_EQ(server_.generate_request.session(), "sessions/demo");
  EXPECT_EQ(server_.generate_request.prompt_case(), v1::GenerateRequest::PROMPT_NOT_SET);
}

TEST_F(ReplTest, SessionAloneLeavesItAndForgetsTheText) {
  const Result result = Type("/session demo\nonce\n/session\n/more\n");
  EXPECT_THAT(result.err, HasSubstr("nothing to continue"));
  Type("/session demo\n/session\nonce\n");
  EXPECT_FALSE(server_.generate_request.has_session());
}

TEST_F(ReplTest, ResetOfParametersStaysInTheSession) {
  Type("/session demo\n/set top_k 5\n/reset\nonce\n");
  EXPECT_EQ(server_.generate_request.session(), "sessions/demo");
  EXPECT_FALSE(server_.generate_request.has_sampling());
}

TEST_F(ReplTest, SessionThatIsNotThereChangesNothing) {
  server_.status = grpc::Status(grpc::StatusCode::NOT_FOUND, "no session sessions/demo");
  const Result result = Type("/session demo\nonce\n");
  EXPECT_THAT(result.err, HasSubstr("NOT_FOUND: no session sessions/demo"));
  EXPECT_EQ(server_.generate_request.text(), "once");
  EXPECT_FALSE(server_.generate_request.has_session());
}

TEST_F(ReplTest, TokensAndModelAskTheServer) {
  server_.tokenize_response = FromText<v1::TokenizeResponse>("token_ids: [4, 5]");
  server_.model_response.mutable_model()->set_name("models/demo");
  const Result result = Type("/tokens some text\n/model\n");
  EXPECT_EQ(server_.tokenize_request.text(), "some text");
  EXPECT_THAT(result.out, HasSubstr("4,5\n"));
  EXPECT_THAT(result.out, HasSubstr("models/demo"));
}

}  // namespace
}  // namespace barista::cli

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/cli/all_fields_set.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kSummary[] =
    "summary { usage { prompt_tokens: 3 generated_tokens: 3 cached_tokens: 1 } seed: 18446744073709551615"
    " timings { queue_seconds: 0.5 prefill_seconds: 0.25 decode_seconds: 1 time_to_first_token_seconds: 0.75"
    " total_seconds: 1.75 } model_fingerprint: 'f00d' }";

class GenerateTest : public ::testing::Test {
 protected:
  GenerateTest() {
    server_.stream = {
        FromText("progress { tokens_done: 2 prompt_tokens: 3 }"),
        FromText("chunk { text: 'Hel' token_ids: 5 logprobs { token_id: 5 logprob: -0.1"
                 " alternatives { token_id: 5 logprob: -0.1 } alternatives { token_id: 9 logprob: -3 } } }"),
        FromText("chunk { text: 'lo' token_ids: [6, 7] logprobs { token_id: 6 logprob: -1 }"
                 " logprobs { token_id: 7 logprob: -2 } generated_tokens: 3 finish_reason: FINISH_REASON_STOP_STRING"
                 " stop_string: '!' }"),
        FromText(kSummary)};
  }
  FakeServer server_;
};

TEST_F(GenerateTest, EveryFlagReachesItsFieldOfTheRequest) {
  const std::string sealed = ::testing::TempDir() + "generate_test.sealed";
  std::ofstream(sealed, std::ios::binary) << "state";
  server_.stream.back().mutable_summary()->set_sealed_state("next");
  const Result result = RunBarista(server_, {"generate",
                                             "--prompt=def f",
                                             "--seal=" + sealed,
                                             "--sealed_state=" + sealed,
                                             "--cache=off",
                                             "--mark=m1",
                                             "--speculation_tokens=4",
                                             "--temperature=0.5",
                                             "--top_k=40",
                                             "--top_p=0.9",
                                             "--min_p=0.25",
                                             "--typical_p=0.75",
                                             "--repetition_penalty=1.5",
                                             "--presence_penalty=-0.5",
                                             "--frequency_penalty=2",
                                             "--logit_bias=7:-2.5,8:100",
                                             "--logit_bias=9:1",
                                             "--seed=18446744073709551615",
                                             "--max_tokens=64",
                                             "--min_tokens=2",
                                             "--stop=\n\n",
                                             "--stop=END",
                                             "--stop_token_ids=1,2",
                                             "--stop_token_ids=3",
                                             "--ignore_eos",
                                             "--n=2",
                                             "--logprobs=3",
                                             "--prompt_logprobs=0",
                                             "--echo",
                                             "--request_id=me-1",
                                             "--session=demo"});
  EXPECT_EQ(result.code, 0) << result.err;
  const auto expected = FromText<v1::GenerateRequest>(
      "text: 'def f' sampling { temperature: 0.5 top_k: 40 top_p: 0.9 min_p: 0.25 typical_p: 0.75"
      " repetition_penalty: 1.5 presence_penalty: -0.5 frequency_penalty: 2 logit_bias { key: 7 value: -2.5 }"
      " logit_bias { key: 8 value: 100 } logit_bias { key: 9 value: 1 } seed: 18446744073709551615 }"
      " stop { max_tokens: 64 min_tokens: 2 stop_strings: ['\\n\\n', 'END'] stop_token_ids: [1, 2, 3] ignore_eos: true "
      "}"
      " n: 2 logprobs: 3 prompt_logprobs: 0 echo: true request_id: 'me-1' session: 'sessions/demo' seal: true"
      " sealed_state: 'state' cache: CACHE_OFF mark: 'm1' speculation_tokens: 4");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(server_.generate_request, expected))
      << server_.generate_request.DebugString();
  ExpectAllFieldsSet(expected);
  ExpectAllFieldsSet(expected.sampling());
  ExpectAllFieldsSet(expected.stop());
  std::filesystem::remove(sealed);
}

TEST_F(GenerateTest, FlagsNotGivenLeaveTheServersDefaults) {
  ASSERT_EQ(RunBarista(server_, {"generate", "hi"}).code, 0);
  EXPECT_FALSE(server_.generate_request.has_sampling());
  EXPECT_FALSE(server_.generate_request.has_stop());
  EXPECT_FALSE(server_.generate_request.has_n());
  EXPECT_THAT(server_.user_agent, StartsWith("barista-cli/"));
}

TEST_F(GenerateTest, PromptComesFromArgumentFlagStdinOrTokens) {
  ASSERT_EQ(RunBarista(server_, {"generate", "hi there"}).code, 0);
  EXPECT_EQ(server_.generate_request.text(), "hi there");
  ASSERT_EQ(RunBarista(server_, {"generate", "-"}, "from stdin\n").code, 0);
  EXPECT_EQ(server_.generate_request.text(), "from stdin\n");
  ASSERT_EQ(RunBarista(server_, {"generate", "--prompt_file=-"}, "as well").code, 0);
  EXPECT_EQ(server_.generate_request.text(), "as well");
  ASSERT_EQ(RunBarista(server_, {"generate", "--tokens=1, 2,4294967295"}).code, 0);
  EXPECT_THAT(server_.generate_request.tokens().ids(), ::testing::ElementsAre(1, 2, 4294967295u));
}

TEST_F(GenerateTest, EmptyAndInvalidTextAreSentForTheServerToRefuse) {
  ASSERT_EQ(RunBarista(server_, {"generate", "--prompt="}).code, 0);
  EXPECT_TRUE(server_.generate_request.has_text());
  ASSERT_EQ(RunBarista(server_, {"generate", "--tokens="}).code, 0);
  EXPECT_TRUE(server_.generate_request.has_tokens());
  ASSERT_EQ(RunBarista(server_, {"generate", "--prompt=\xff\xfe"}).code, 0);
  EXPECT_EQ(server_.generate_request.text(), "\xff\xfe");
}

TEST_F(GenerateTest, TextGoesToStdoutAndStatisticsToStderr) {
  const Result result = RunBarista(server_, {"generate", "hi"});
  EXPECT_EQ(result.out, "Hello\n");
  EXPECT_EQ(result.err,
            "[3 tokens at 2.0 tokens/s, first after 750 ms; prompt 3 tokens at 8.0 tokens/s, 1 cached; "
            "finish: stop_string; seed 18446744073709551615]\n");
  EXPECT_THAT(RunBarista(server_, {"generate", "--quiet", "hi"}).err, IsEmpty());
}

TEST_F(GenerateTest, DraftedTokensAreToldWhereThereAreAny) {
  v1::Usage& usage = *server_.stream.back().mutable_summary()->mutable_usage();
  usage.set_drafted_tokens(6000000000);
  usage.set_accepted_tokens(5);
  EXPECT_THAT(RunBarista(server_, {"generate", "hi", "--speculation_tokens=4"}).err,
              HasSubstr("; 5 of 6000000000 drafted tokens accepted; finish: "));
  const Json json = Json::parse(RunBarista(server_, {"generate", "hi", "--speculation_tokens=4", "--json"}).out);
  EXPECT_EQ(json["usage"]["drafted_tokens"], 6000000000);
  EXPECT_EQ(json["usage"]["accepted_tokens"], 5);
}

TEST_F(GenerateTest, CacheIsOnOrOff) {
  ASSERT_EQ(RunBarista(server_, {"generate", "hi", "--cache=on"}).code, 0);
  EXPECT_EQ(server_.generate_request.cache(), v1::CACHE_ON);
  EXPECT_THAT(RunBarista(server_, {"generate", "hi", "--cache=maybe"}).err,
              StartsWith("barista: --cache: 'maybe' is neither on nor off"));
}

TEST_F(GenerateTest, ProgressIsShownOnTerminalsAloneAndErased) {
  EXPECT_THAT(RunBarista(server_, {"generate", "hi"}, "", {.err = true}).err,
              StartsWith("\rreading the prompt: 2 of 3 tokens (67 %)\r\033[K"));
  EXPECT_THAT(RunBarista(server_, {"generate", "hi"}).err, Not(HasSubstr("reading the prompt")));
}

TEST_F(GenerateTest, JsonIsOneObject) {
  const Result result = RunBarista(server_, {"generate", "hi", "--json"}, "", {.err = true});
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_EQ(Json::parse(result.out), Json::parse(R"({
    "text": "Hello", "tokens": [5, 6, 7], "finish_reason": "stop_string", "stop_string": "!",
    "logprobs": [-0.1, -1.0, -2.0],
    "alternatives": [[{"token": 5, "logprob": -0.1}, {"token": 9, "logprob": -3.0}], [], []],
    "usage": {"prompt_tokens": 3, "generated_tokens": 3, "cached_tokens": 1},
    "timings": {"queue_seconds": 0.5, "prefill_seconds": 0.25, "decode_seconds": 1.0,
                "time_to_first_token_seconds": 0.75, "total_seconds": 1.75},
    "seed": 18446744073709551615, "model_fingerprint": "f00d"})"));
}

TEST_F(GenerateTest, SeveralChoicesAreKeptApart) {
  server_.stream = {FromText("chunk { choice: 1 text: 'B1' token_ids: 3 }"),
                    FromText("chunk { choice: 0 text: 'A1' token_ids: 1 }"),
                    FromText("chunk { choice: 1 text: 'B2' token_ids: 4 finish_reason: FINISH_REASON_LENGTH }"),
                    FromText("chunk { choice: 0 text: 'A2' token_ids: 2 finish_reason: FINISH_REASON_EOS"
                             " stop_token_id: 2 }"),
                    FromText(kSummary)};
  EXPECT_EQ(RunBarista(server_, {"generate", "hi", "--n=2", "--quiet"}).out, "A1A2\n--- choice 1 ---\nB1B2\n");
  const Json json = Json::parse(RunBarista(server_, {"generate", "hi", "--n=2", "--json"}).out);
  EXPECT_EQ(json["text"], "A1A2");
  EXPECT_EQ(json["choices"], Json::parse(R"([
    {"text": "A1A2", "tokens": [1, 2], "finish_reason": "eos", "stop_token_id": 2},
    {"text": "B1B2", "tokens": [3, 4], "finish_reason": "length"}])"));
}

TEST_F(GenerateTest, EchoPrintsThePromptFirstAndKeepsItApartInJson) {
  server_.stream = {FromText("prompt { text: 'hi' token_ids: [1, 2] logprobs { token_id: 1 }"
                             " logprobs { token_id: 2 logprob: -4 } }"),
                    FromText("chunk { text: ' you' token_ids: 3 finish_reason: FINISH_REASON_LENGTH }"),
                    FromText(kSummary)};
  EXPECT_EQ(RunBarista(server_, {"generate", "hi", "--echo"}).out, "hi you\n");
  const Json json = Json::parse(RunBarista(server_, {"generate", "hi", "--echo", "--json"}).out);
  EXPECT_EQ(json["text"], " you");
  EXPECT_EQ(json["prompt"], Json::parse(R"({"text": "hi", "tokens": [1, 2], "logprobs": [null, -4.0]})"));
}

TEST_F(GenerateTest, WithoutATokenizerTokenIdsArePrinted) {
  server_.stream = {FromText("chunk { token_ids: [5, 6] finish_reason: FINISH_REASON_LENGTH }"), FromText(kSummary)};
  EXPECT_EQ(RunBarista(server_, {"generate", "--tokens=1"}).out, "5 6\n");
}

TEST_F(GenerateTest, SessionGoesOnWithoutAPrompt) {
  ASSERT_EQ(RunBarista(server_, {"generate", "--session=demo"}).code, 0);
  EXPECT_EQ(server_.generate_request.session(), "sessions/demo");
  EXPECT_EQ(server_.generate_request.prompt_case(), v1::GenerateRequest::PROMPT_NOT_SET);
  ASSERT_EQ(RunBarista(server_, {"generate", "--session=sessions/demo", "hi"}).code, 0);
  EXPECT_EQ(server_.generate_request.session(), "sessions/demo");
  EXPECT_EQ(server_.generate_request.text(), "hi");
}

TEST_F(GenerateTest, SessionPositionIsShownWhereTheServerTellsIt) {
  server_.stream.back().mutable_summary()->set_session_position(6000000000);
  EXPECT_THAT(RunBarista(server_, {"generate", "--session=demo"}).err, HasSubstr("; session at position 6000000000]"));
  const Json json = Json::parse(RunBarista(server_, {"generate", "--session=demo", "--json"}).out);
  EXPECT_EQ(json["session_position"], 6000000000);
}

TEST_F(GenerateTest, InterruptCancelsTheCallAndExits130) {
  server_.after_stream = [](grpc::ServerContext& context) {
    while (!context.IsCancelled()) std::this_thread::yield();
  };
  server_.stream.pop_back();
  const Result result = RunBarista(server_, {"generate", "hi"}, "", {}, [](const std::string& out) {
    if (out == "Hello") raise(SIGINT);
  });
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.out, "Hello\n");
  EXPECT_THAT(result.err, HasSubstr("interrupted"));
}

TEST_F(GenerateTest, DeadlineTravelsWithTheCall) {
  server_.after_stream = [](grpc::ServerContext& context) {
    while (!context.IsCancelled()) std::this_thread::yield();
  };
  const Result result = RunBarista(server_, {"generate", "hi", "--deadline_s=0.05"});
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, HasSubstr("DEADLINE_EXCEEDED"));
}

}  // namespace
}  // namespace barista::cli

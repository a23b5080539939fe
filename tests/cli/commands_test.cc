// Every command that is one call and has no file of its own: what it asks, and what it prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

TEST(ScoreTest, JsonHasNullForTheFirstToken) {
  FakeServer server;
  server.score_response = FromText<v1::ScoreResponse>(
      "tokens { token_id: 5 } tokens { token_id: 6 logprob: -0.1 } tokens { token_id: 7 logprob: -2.5 }"
      " total_logprob: -2.6 usage { prompt_tokens: 3 } model_fingerprint: 'f00d'");
  const Result result = RunBarista(server, {"score", "--tokens=5,6,7", "--json"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(server.score_request.tokens().ids(), ElementsAre(5, 6, 7));
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["tokens"], Json({5, 6, 7}));
  EXPECT_EQ(json["logprobs"], Json({nullptr, -0.1, -2.5}));
  EXPECT_EQ(json["total_logprob"], -2.6);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  EXPECT_FALSE(json.contains("alternatives"));
}

TEST(ScoreTest, TextShowsTokensTotalAndPerplexity) {
  FakeServer server;
  server.score_response = FromText<v1::ScoreResponse>(
      "tokens { token_id: 5 } tokens { token_id: 6 logprob: -2 alternatives { token_id: 8 logprob: -0.5 } }"
      " total_logprob: -2");
  const Result result = RunBarista(server, {"score", "some text", "--alternatives=1", "--request_id=r"});
  EXPECT_EQ(server.score_request.text(), "some text");
  EXPECT_EQ(server.score_request.alternatives(), 1u);
  EXPECT_EQ(server.score_request.request_id(), "r");
  EXPECT_EQ(result.out,
            "   token     logprob\n"
            "       5           -\n"
            "       6    -2.00000  8:-0.50000\n"
            "total -2.00000, perplexity 7.38906\n");
}

TEST(ClassifyTest, PrintsLogitsAndProbabilities) {
  FakeServer server;
  server.classify_response = FromText<v1::ClassifyResponse>("logits: [0.5, 0.5, -1000]");
  Result result = RunBarista(server, {"classify", "--tokens=1,2", "--json"});
  EXPECT_EQ(Json::parse(result.out)["logits"], Json({0.5, 0.5, -1000.0}));
  EXPECT_THAT(server.classify_request.tokens().ids(), ElementsAre(1, 2));
  result = RunBarista(server, {"classify", "a text"});
  EXPECT_EQ(server.classify_request.text(), "a text");
  EXPECT_THAT(result.out, HasSubstr("       1     0.50000      0.50000\n"));
}

TEST(TokenizeTest, PrintsIdsInTheFormThatTokensTakes) {
  FakeServer server;
  server.tokenize_response = FromText<v1::TokenizeResponse>("token_ids: [1, 20] pieces: ['he', 'llo']");
  EXPECT_EQ(RunBarista(server, {"tokenize", "hello"}).out, "1,20\n");
  EXPECT_FALSE(server.tokenize_request.has_add_special_tokens());
  EXPECT_EQ(RunBarista(server, {"tokenize", "--prompt=hello", "--add_special_tokens=false", "--json"}).out,
            "{\"tokens\":[1,20],\"pieces\":[\"he\",\"llo\"]}\n");
  EXPECT_EQ(server.tokenize_request.text(), "hello");
  EXPECT_FALSE(server.tokenize_request.add_special_tokens());
  EXPECT_TRUE(server.tokenize_request.has_add_special_tokens());
}

TEST(DetokenizeTest, PrintsText) {
  FakeServer server;
  server.detokenize_response.set_text("hello");
  EXPECT_EQ(RunBarista(server, {"detokenize", "1,20"}).out, "hello\n");
  EXPECT_EQ(RunBarista(server, {"detokenize", "--tokens=1,20", "--skip_special_tokens=false", "--json"}).out,
            "{\"text\":\"hello\"}\n");
  EXPECT_THAT(server.detokenize_request.token_ids(), ElementsAre(1, 20));
  EXPECT_TRUE(server.detokenize_request.has_skip_special_tokens());
  EXPECT_EQ(RunBarista(server, {"detokenize"}).code, 2);
}

constexpr char kModel[] = R"pb(
  server_version: "0.1.0"
  model {
    name: "models/demo"
    fingerprint: "f00d"
    task: TASK_CAUSAL_LM
    parameters: 5000000000
    weight_dtype: "bf16"
    architecture {
      vocab_size: 512
      hidden_size: 64
      layer_types: LAYER_TYPE_LATTE
      layer_types: LAYER_TYPE_MACCHIATO
      layer_types: LAYER_TYPE_LATTE
      sliding_window: 16
    }
    memory {
      bytes_per_session: 1048576
      sessions_max: 9
      state_rows { component: "latents" bytes: 1048576 detail: "f32" }
    }
    limits { max_tokens_max: 1000 }
    sampling_defaults { temperature: 0.7 }
  })pb";

TEST(DescribeTest, TextShowsShapeMemoryAndLimits) {
  FakeServer server;
  server.model_response = FromText<v1::GetModelResponse>(kModel);
  const std::string out = RunBarista(server, {"describe"}).out;
  for (const char* expected :
       {"models/demo  f00d", "causal_lm", "5000000000 in bf16", "2 latte, 1 macchiato",
        "512 (no tokenizer: token ids only)", "1048576 (1.00 MiB)", "latents", "max_tokens_max", "0.7"}) {
    EXPECT_THAT(out, HasSubstr(expected));
  }
}

TEST(DescribeTest, JsonIsTheAnswerWithPlainNumbersAndLowerCaseEnums) {
  FakeServer server;
  server.model_response = FromText<v1::GetModelResponse>(kModel);
  const Json json = Json::parse(RunBarista(server, {"describe", "--json"}).out);
  EXPECT_EQ(json["server_version"], "0.1.0");
  EXPECT_EQ(json["model"]["task"], "causal_lm");
  EXPECT_EQ(json["model"]["parameters"], 5000000000u);
  EXPECT_EQ(json["model"]["architecture"]["layer_types"], Json({"latte", "macchiato", "latte"}));
  EXPECT_EQ(json["model"]["sampling_defaults"]["temperature"], 0.7);
}

TEST(HelpTest, EveryCommandHasHelpAndTheExitCodesAreListed) {
  FakeServer server;
  const Result general = RunBarista(server, {"help"});
  EXPECT_EQ(general.code, 0);
  EXPECT_THAT(general.out, HasSubstr("  130  interrupted by Ctrl-C"));
  for (const std::string command :
       {"generate", "score", "classify", "tokenize", "detokenize", "describe", "session", "append", "chat", "repl"}) {
    EXPECT_THAT(general.out, HasSubstr("  " + command));
    for (const Result& help : {RunBarista(server, {"help", command}), RunBarista(server, {command, "--help"}),
                               RunBarista(server, {command, "-h"})}) {
      EXPECT_EQ(help.code, 0);
      EXPECT_THAT(help.out, HasSubstr("Usage: barista " + command));
    }
  }
  EXPECT_EQ(RunBarista(server, {}).code, 2);
  EXPECT_THAT(RunBarista(server, {"--version"}).out, ::testing::StartsWith("barista "));
}

}  // namespace
}  // namespace barista::cli

#include "server/model/config.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/tiny_checkpoint.h"

namespace barista {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<ModelConfig> Parse(const json& config) { return ParseModelConfig(config.dump(), "dir/config.json"); }

void ExpectRefused(const json& config, const std::vector<std::string>& words) {
  const auto parsed = Parse(config);
  ASSERT_FALSE(parsed.ok()) << words[0];
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(parsed.status().message());
  EXPECT_THAT(message, HasSubstr("dir/config.json"));
  for (const std::string& word : words) EXPECT_THAT(message, HasSubstr(word));
}

json With(const std::string& key, const json& value, json config = TinyConfig()) {
  config[key] = value;
  return config;
}

json Without(const std::string& key, json config = TinyConfig()) {
  config.erase(key);
  return config;
}

TEST(Config, EveryKeyArrivesInItsField) {
  const auto c = Parse(TinyConfig());
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->task, Task::kCausalLm);
  EXPECT_EQ(c->vocab_size, 11);
  EXPECT_EQ(c->hidden_size, 12);
  EXPECT_EQ(c->num_hidden_layers, 2);
  EXPECT_THAT(c->layer_types, ElementsAre(LayerType::kMacchiato, LayerType::kLatte));
  EXPECT_EQ(c->num_attention_heads, 4);
  EXPECT_EQ(c->num_key_value_heads, 2);
  EXPECT_EQ(c->head_dim, 8);
  EXPECT_EQ(c->latents_per_head, 3);
  EXPECT_EQ(c->latent_scale, 1.0);
  EXPECT_EQ(c->sliding_window, 5);
  EXPECT_EQ(c->attention_scale, 0.25);
  EXPECT_EQ(c->attention_softcap, 50.0);
  EXPECT_EQ(c->local_position, LocalPosition::kRope);
  EXPECT_EQ(c->value_position, ValuePosition::kVapor);
  EXPECT_EQ(c->rope_theta, 10000.0);
  EXPECT_EQ(c->position_embedding, PositionEmbedding::kNone);
  EXPECT_EQ(c->qk_mixer, QkMixer::kConvRglru);
  EXPECT_EQ(c->qk_mixer_blocks, 3);
  EXPECT_EQ(c->conv_width, 4);
  EXPECT_EQ(c->block, BlockKind::kTransformer);
  EXPECT_EQ(c->norm, NormKind::kRmsNorm);
  EXPECT_EQ(c->norm_placement, NormPlacement::kPre);
  EXPECT_EQ(c->norm_eps, 1e-6);
  EXPECT_EQ(c->mlp, MlpKind::kGated);
  EXPECT_EQ(c->hidden_act, Activation::kSilu);
  EXPECT_EQ(c->intermediate_size, 20);
  EXPECT_FALSE(c->tie_word_embeddings);
  EXPECT_EQ(c->final_softcap, 0.0);
  EXPECT_EQ(c->max_position_embeddings, 0);
  EXPECT_EQ(c->bos_token_id, 1);
  EXPECT_THAT(c->eos_token_ids, ElementsAre(2, 3));
  EXPECT_EQ(c->pad_token_id, 0);
}

// Every key with a default: what its absence, and its being null, means.
TEST(Config, AbsentAndNullKeysTakeTheirDefaults) {
  const std::vector<std::string> optional = {"task",
                                             "latent_scale",
                                             "attention_scale",
                                             "attention_softcap",
                                             "local_position",
                                             "rope_theta",
                                             "value_position",
                                             "qk_mixer",
                                             "position_embedding",
                                             "block",
                                             "bos_token_id",
                                             "norm_weight_offset",
                                             "eos_token_id",
                                             "embedding_scale",
                                             "tie_word_embeddings",
                                             "final_softcap",
                                             "max_position_embeddings",
                                             "pad_token_id"};
  json absent = TinyConfig(), null = TinyConfig();
  for (const std::string& key : optional) {
    absent.erase(key);
    null[key] = nullptr;
  }
  for (const json& config : {absent, null}) {
    const auto c = Parse(config);
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_EQ(c->task, Task::kCausalLm);
    EXPECT_EQ(c->latent_scale, 1.0);
    EXPECT_DOUBLE_EQ(c->attention_scale * c->attention_scale, 1.0 / 8);
    EXPECT_EQ(c->attention_softcap, 0.0);
    EXPECT_EQ(c->local_position, LocalPosition::kNone);
    EXPECT_EQ(c->value_position, ValuePosition::kNone);
    EXPECT_EQ(c->rope_theta, 10000.0);
    EXPECT_EQ(c->position_embedding, PositionEmbedding::kNone);
    EXPECT_EQ(c->qk_mixer, QkMixer::kNone);
    EXPECT_EQ(c->qk_mixer_blocks, 0);  // given, but no mixer uses it
    EXPECT_EQ(c->conv_width, 0);
    EXPECT_EQ(c->block, BlockKind::kTransformer);
    EXPECT_EQ(c->norm_weight_offset, 0.0);
    EXPECT_EQ(c->embedding_scale, 1.0);
    EXPECT_FALSE(c->tie_word_embeddings);
    EXPECT_FALSE(c->bos_token_id.has_value());
    EXPECT_THAT(c->eos_token_ids, IsEmpty());
    EXPECT_FALSE(c->pad_token_id.has_value());
  }
}

TEST(Config, MissingAndNullRequiredKeysAreRefusedByName) {
  for (const char* key : {"model_type", "format_version", "vocab_size", "hidden_size", "num_hidden_layers",
                          "layer_types", "num_attention_heads", "num_key_value_heads", "head_dim", "latents_per_head",
                          "sliding_window", "qk_mixer_blocks", "conv_width", "norm", "norm_placement", "norm_eps",
                          "mlp", "hidden_act", "intermediate_size"}) {
    ExpectRefused(Without(key), {key});
    ExpectRefused(With(key, nullptr), {key});
  }
  ExpectRefused(Without("num_labels", TinyClassifierConfig()), {"num_labels", "missing"});
  ExpectRefused(Without("pool", TinyClassifierConfig()), {"pool", "missing"});
}

TEST(Config, EveryKeyOfTheWrongTypeIsRefusedByName) {
  const json config = TinyClassifierConfig();
  for (const auto& [key, value] : config.items()) {
    for (const json& wrong : {json::object(), json("7"), json::array({json::array()})}) {
      ExpectRefused(With(key, wrong, config), {key});
    }
    if (!value.is_boolean()) ExpectRefused(With(key, true, config), {key, "true"});
  }
  ExpectRefused(With("tie_word_embeddings", 1), {"tie_word_embeddings is 1", "true or false"});
}

TEST(Config, IntegersMustBeWrittenAsIntegers) {
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "head_dim", "latents_per_head", "sliding_window", "qk_mixer_blocks",
                          "conv_width", "intermediate_size", "max_position_embeddings", "bos_token_id"}) {
    ExpectRefused(With(key, 4.0), {std::string(key) + " is 4.0", "integer"});
    ExpectRefused(With(key, 4.5), {std::string(key) + " is 4.5"});
  }
}

TEST(Config, IntegersOutOfRangeAreRefusedWithTheLimit) {
  struct Row {
    const char* key;
    int64_t limit;
  };
  for (const Row& row : std::vector<Row>{{"vocab_size", 4194304},
                                         {"hidden_size", 65536},
                                         {"num_hidden_layers", 1024},
                                         {"num_attention_heads", 4096},
                                         {"num_key_value_heads", 4096},
                                         {"head_dim", 8192},
                                         {"latents_per_head", 65536},
                                         {"sliding_window", 1048576},
                                         {"qk_mixer_blocks", 65536},
                                         {"conv_width", 256},
                                         {"intermediate_size", 1048576},
                                         {"max_position_embeddings", 16777216}}) {
    const std::string range = "must be 1 .. " + std::to_string(row.limit);
    for (const json& value :
         {json(0), json(-1), json(row.limit + 1), json(INT64_MAX), json(INT64_MIN), json(UINT64_MAX)}) {
      ExpectRefused(With(row.key, value), {row.key + (" is " + value.dump()), range});
    }
  }
  ExpectRefused(With("num_labels", 1, TinyClassifierConfig()), {"num_labels is 1", "2 .. "});
  ExpectRefused(With("format_version", 2), {"format_version is 2"});
}

TEST(Config, RealNumbersOutOfRangeAreRefusedWithTheLimit) {
  for (const char* key : {"latent_scale", "attention_scale", "embedding_scale", "rope_theta"}) {
    for (double value : {0.0, -1.0, 1e300}) ExpectRefused(With(key, value), {key, "must be"});
  }
  for (const char* key : {"attention_softcap", "final_softcap", "norm_eps"}) {
    for (double value : {-1e-9, 1e300}) ExpectRefused(With(key, value), {key, "must be 0 .. "});
  }
  ExpectRefused(With("norm_weight_offset", 1e300), {"norm_weight_offset"});
}

TEST(Config, NotANumberIsRefused) {
  std::string text = TinyConfig().dump();
  text.replace(text.find("\"embedding_scale\":1.0"), 21, "\"embedding_scale\":NaN");
  const auto parsed = ParseModelConfig(text, "dir/config.json");
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("not valid JSON"));
}

TEST(Config, UnknownWordsAreRefusedWithTheValidOnes) {
  ExpectRefused(With("model_type", "gpt2"), {"model_type is \"gpt2\"", "latte"});
  for (const char* key : {"task", "local_position", "value_position", "position_embedding", "qk_mixer", "block", "norm",
                          "norm_placement", "mlp", "hidden_act"}) {
    ExpectRefused(With(key, "mystery"), {std::string(key) + " is \"mystery\"", "must be one of \""});
  }
  ExpectRefused(With("pool", "max", TinyClassifierConfig()), {"pool is \"max\"", "\"mean\", \"last\""});
  ExpectRefused(With("layer_types", {"macchiato", "espresso"}), {"layer_types[1] is \"espresso\"", "\"latte\""});
}

TEST(Config, UnknownKeysAreRefusedWithTheNearestOne) {
  ExpectRefused(With("hiden_size", 12), {"unknown key \"hiden_size\"", "did you mean \"hidden_size\"?"});
  ExpectRefused(With("num_kv_heads", 12), {"unknown key \"num_kv_heads\""});
  ExpectRefused(With("xyzzy", 12), {"unknown key \"xyzzy\""});
  ExpectRefused(With(std::string(1000, 'k'), 12), {"unknown key \"kkkk"});
}

TEST(Config, KeysOfOtherToolsAreIgnored) {
  json config = TinyConfig();
  for (const char* key : {"architectures", "torch_dtype", "dtype", "transformers_version", "_name_or_path", "_"}) {
    config[key] = json::array({json::object()});
  }
  EXPECT_TRUE(Parse(config).ok()) << Parse(config).status();
}

TEST(Config, DuplicateKeysAreRefusedByName) {
  std::string text = TinyConfig().dump();
  text.insert(1, "\"vocab_size\": 11,");
  const auto parsed = ParseModelConfig(text, "dir/config.json");
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("\"vocab_size\" appears twice"));
}

TEST(Config, TextThatIsNoObjectIsRefused) {
  for (const char* text : {"[]", "1", "null", "\"latte\""}) {
    const auto parsed = ParseModelConfig(text, "dir/config.json");
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("object"));
  }
}

TEST(Config, SizesThatContradictEachOtherAreRefused) {
  ExpectRefused(With("num_key_value_heads", 3), {"num_attention_heads is 4", "num_key_value_heads, which is 3"});
  ExpectRefused(With("num_key_value_heads", 8), {"num_attention_heads is 4", "which is 8"});
  ExpectRefused(With("qk_mixer_blocks", 5), {"qk_mixer_blocks is 5", "hidden_size, which is 12"});
  ExpectRefused(With("layer_types", {"latte"}), {"layer_types lists 1", "num_hidden_layers is 2"});
  ExpectRefused(With("layer_types", json(2000, "latte")), {"layer_types", "1024"});
  ExpectRefused(With("hidden_size", 15, With("position_embedding", "sinusoidal")), {"hidden_size is 15", "sinusoidal"});
}

TEST(Config, RotationNeedsEvenHeads) {
  json config = With("head_dim", 7);
  ExpectRefused(config, {"head_dim is 7", "local_position is \"rope\""});
  config["local_position"] = "none";
  ExpectRefused(config, {"head_dim is 7", "value_position is \"vapor\""});
  config["value_position"] = "none";
  EXPECT_TRUE(Parse(config).ok());
  // Nothing is rotated where no layer has a softmax attention.
  config["local_position"] = "rope";
  config["layer_types"] = {"latte", "latte"};
  EXPECT_TRUE(Parse(config).ok());
}

TEST(Config, ProductsBeyondAnyMachineAreRefused) {
  json heads = With("head_dim", 8192);
  heads["num_attention_heads"] = 4096;
  ExpectRefused(heads, {"num_attention_heads * head_dim is 33554432", "1048576"});
  json latents = With("head_dim", 8192);
  latents["latents_per_head"] = 65536;
  ExpectRefused(latents, {"num_key_value_heads * latents_per_head * head_dim is 1073741824"});
  json window = With("head_dim", 8192);
  window["sliding_window"] = 1048576;
  ExpectRefused(window, {"num_key_value_heads * sliding_window * head_dim"});
}

TEST(Config, SizesThatNoLayerUsesMayBeAbsentOrZero) {
  json config = With("layer_types", {"full_attention", "full_attention"});
  config["qk_mixer"] = "none";
  for (const char* key : {"latents_per_head", "sliding_window", "qk_mixer_blocks", "conv_width"}) config[key] = 0;
  EXPECT_TRUE(Parse(config).ok()) << Parse(config).status();
  for (const char* key : {"latents_per_head", "sliding_window", "qk_mixer_blocks", "conv_width"}) config.erase(key);
  EXPECT_TRUE(Parse(config).ok()) << Parse(config).status();
  ExpectRefused(With("latents_per_head", -1, config), {"latents_per_head is -1"});
}

TEST(Config, GluIgnoresTheMlp) {
  json config = With("block", "glu");
  for (const char* key : {"mlp", "hidden_act", "intermediate_size"}) config.erase(key);
  const auto parsed = Parse(config);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->intermediate_size, 0);
  EXPECT_TRUE(Parse(With("intermediate_size", "none", config)).ok());
}

TEST(Config, TokenIdsMustBeInTheVocabulary) {
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    for (int64_t id : {int64_t{-1}, int64_t{11}, int64_t{1} << 40})
      ExpectRefused(With(key, id), {key, "must be 0 .. 10"});
  }
  ExpectRefused(With("eos_token_id", {2, 11}), {"eos_token_id[1] is 11"});
  ExpectRefused(With("eos_token_id", json(2000, 1)), {"eos_token_id", "1024"});
  const auto parsed = Parse(With("eos_token_id", 10));
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed->eos_token_ids, ElementsAre(10));
}

TEST(Config, ClassifiersAreBidirectionalThroughoutAndLanguageModelsNowhere) {
  const auto parsed = Parse(TinyClassifierConfig());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->num_labels, 3);
  EXPECT_EQ(parsed->pool, Pool::kLast);
  ExpectRefused(With("layer_types", {"bidirectional", "latte"}, TinyClassifierConfig()),
                {"layer_types[1] is \"latte\"", "classification"});
  ExpectRefused(With("layer_types", {"bidirectional", "latte"}), {"layer_types[0] is \"bidirectional\"", "causal_lm"});
}

}  // namespace
}  // namespace barista

#include "server/model/checkpoint.h"

#include <filesystem>
#include <functional>
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
using testing::Not;

void ExpectRefused(const std::string& directory, absl::StatusCode code, const std::vector<std::string>& words) {
  const auto checkpoint = Checkpoint::Open(directory);
  ASSERT_FALSE(checkpoint.ok()) << words[0];
  EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status();
  for (const std::string& word : words) EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(word));
}

void ExpectTensorsRefused(const json& config, const TensorShapes& shapes, const std::vector<std::string>& words) {
  const TempDir dir;
  WriteCheckpoint(dir, config, shapes);
  ExpectRefused(dir.path(), absl::StatusCode::kInvalidArgument, words);
}

TEST(Checkpoint, ATinyOneOpens) {
  const TempDir dir;
  WriteCheckpoint(dir, TinyConfig(), ShapesOf(TinyConfig()));
  const auto checkpoint = Checkpoint::Open(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->directory(), dir.path());
  EXPECT_EQ((*checkpoint)->config().vocab_size, 11);
  const HostTensor* query = (*checkpoint)->find("model.layers.0.mixer.latent_query.weight");
  ASSERT_NE(query, nullptr);
  EXPECT_THAT(query->shape, ElementsAre(4 * (3 + 1), 12));
  EXPECT_THAT((*checkpoint)->find("model.layers.1.mixer.latent_query.weight")->shape, ElementsAre(4 * 3, 12));
  EXPECT_EQ((*checkpoint)->find("model.norm.weight"), nullptr);
  EXPECT_FALSE((*checkpoint)->tokenizer_path().has_value());
  EXPECT_FALSE((*checkpoint)->generation_defaults().temperature.has_value());
}

TEST(Checkpoint, OptionalTensorsAndFilesAreFound) {
  const TempDir dir;
  WriteCheckpoint(dir, TinyConfig(), ShapesOf(TinyConfig(), /*optional_too=*/true));
  dir.Write("generation_config.json", R"({"temperature": 0.5, "eos_token_id": 4})");
  dir.Write("tokenizer.json", "{}");
  const auto checkpoint = Checkpoint::Open(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_NE((*checkpoint)->find("model.layers.1.mlp.gate_proj.bias"), nullptr);
  EXPECT_NE((*checkpoint)->find("model.norm.weight"), nullptr);
  EXPECT_EQ((*checkpoint)->tokenizer_path(), dir.file("tokenizer.json"));
  EXPECT_EQ((*checkpoint)->generation_defaults().temperature, 0.5);
  EXPECT_THAT(*(*checkpoint)->generation_defaults().eos_token_ids, ElementsAre(4));
}

// Every kind of layer, mixer, block, norm, placement and MLP: the checkpoint made from the list of names opens.
TEST(Checkpoint, EveryKindOfModelOpens) {
  std::vector<json> configs = {TinyConfig(), TinyClassifierConfig()};
  const auto add = [&configs](const json& changes) { (configs.emplace_back(TinyConfig())).update(changes); };
  for (const char* type : {"latte", "macchiato", "sliding_attention", "full_attention"}) {
    add({{"layer_types", {type, type}}});
  }
  for (const char* mixer : {"none", "conv", "rglru"}) add({{"qk_mixer", mixer}});
  for (const char* norm : {"layernorm", "rmsnorm", "affine"}) {
    for (const char* placement : {"pre", "post", "sandwich"}) {
      for (const char* block : {"transformer", "glu"}) {
        add({{"norm", norm}, {"norm_placement", placement}, {"block", block}});
      }
    }
  }
  add({{"mlp", "plain"}});
  add({{"tie_word_embeddings", true}});
  for (const json& config : configs) {
    for (bool optional_too : {false, true}) {
      const TempDir dir;
      WriteCheckpoint(dir, config, ShapesOf(config, optional_too));
      const auto checkpoint = Checkpoint::Open(dir.path());
      EXPECT_TRUE(checkpoint.ok()) << checkpoint.status() << " " << config;
    }
  }
}

TEST(Checkpoint, MissingFilesAreNotFoundByName) {
  const TempDir dir;
  ExpectRefused(dir.file("nowhere"), absl::StatusCode::kNotFound, {"nowhere", "no such directory"});
  ExpectRefused(dir.path(), absl::StatusCode::kNotFound, {"config.json"});
  dir.Write("config.json", TinyConfig().dump());
  ExpectRefused(dir.path(), absl::StatusCode::kNotFound, {"model.safetensors"});
  ExpectRefused(dir.file("config.json"), absl::StatusCode::kInvalidArgument, {"not a directory"});
}

TEST(Checkpoint, BrokenJsonFilesAreRefusedByName) {
  const TempDir dir;
  WriteCheckpoint(dir, TinyConfig(), ShapesOf(TinyConfig()));
  for (const std::string& text : {std::string(), std::string("{"), std::string(2 << 20, ' ')}) {
    dir.Write("config.json", text);
    ExpectRefused(dir.path(), absl::StatusCode::kInvalidArgument, {"config.json"});
  }
  dir.Write("config.json", TinyConfig().dump());
  dir.Write("generation_config.json", R"({"top_p": 7})");
  ExpectRefused(dir.path(), absl::StatusCode::kInvalidArgument, {"generation_config.json", "top_p is 7"});
}

TEST(Checkpoint, TruncatedWeightsAreRefused) {
  const TempDir dir;
  dir.Write("config.json", TinyConfig().dump());
  const std::string file = BuildWeights(ShapesOf(TinyConfig()));
  for (size_t size = 0; size < file.size(); size += 997) {
    dir.Write("model.safetensors", file.substr(0, size));
    ExpectRefused(dir.path(), absl::StatusCode::kInvalidArgument, {"model.safetensors"});
  }
}

TEST(Checkpoint, EveryMissingRequiredTensorIsNamed) {
  for (const json& config : {TinyConfig(), TinyClassifierConfig()}) {
    const TensorShapes all = ShapesOf(config);
    for (const auto& [name, shape] : all) {
      TensorShapes shapes = all;
      shapes.erase(name);
      ExpectTensorsRefused(config, shapes, {name + " is missing", "1 problem"});
    }
  }
}

TEST(Checkpoint, EveryWrongShapeIsNamed) {
  const TensorShapes all = ShapesOf(TinyConfig(), /*optional_too=*/true);
  const std::vector<std::function<void(std::vector<int64_t>&)>> mutations = {[](auto& shape) { shape[0] += 1; },
                                                                             [](auto& shape) { shape.push_back(1); },
                                                                             [](auto& shape) { shape.pop_back(); }};
  for (const auto& [name, shape] : all) {
    for (const auto& mutate : mutations) {
      TensorShapes shapes = all;
      mutate(shapes[name]);
      ExpectTensorsRefused(TinyConfig(), shapes, {name + " has shape [", "expected [", "1 problem"});
    }
  }
}

TEST(Checkpoint, AWrongShapeIsExplainedInTheWordsOfTheConfig) {
  TensorShapes shapes = ShapesOf(TinyConfig());
  shapes["model.layers.1.mixer.v_proj.weight"] = {16, 10};
  ExpectTensorsRefused(TinyConfig(), shapes,
                       {"model.layers.1.mixer.v_proj.weight has shape [16, 10], expected "
                        "[num_key_value_heads*head_dim, hidden_size] = [16, 12]"});
  shapes = ShapesOf(TinyConfig());
  shapes["model.layers.0.mixer.latent_query.weight"] = {12, 12};
  ExpectTensorsRefused(TinyConfig(), shapes, {"num_attention_heads*(latents_per_head+1)", "[16, 12]"});
}

TEST(Checkpoint, UnknownTensorsAreNamed) {
  for (const char* name :
       {"extra", "model.layers.2.mixer_norm.weight", "model.layers.00.mixer_norm.weight", "model.embed_tokens.bias",
        "model.layers.1.mixer.q_proj.weight", "model.layers.0.mixer_post_norm.weight", "score.weight"}) {
    TensorShapes shapes = ShapesOf(TinyConfig());
    shapes[name] = {12};
    ExpectTensorsRefused(TinyConfig(), shapes, {std::string("unknown tensor \"") + name + "\"", "1 problem"});
  }
}

TEST(Checkpoint, AHeadThatTheConfigExcludesIsRefusedWithTheReason) {
  json tied = TinyConfig();
  tied["tie_word_embeddings"] = true;
  for (const char* name : {"lm_head.weight", "lm_head.bias"}) {
    TensorShapes shapes = ShapesOf(tied);
    shapes[name] = {11};
    ExpectTensorsRefused(tied, shapes, {name, "tie_word_embeddings is true"});
    shapes = ShapesOf(TinyClassifierConfig());
    shapes[name] = {11};
    ExpectTensorsRefused(TinyClassifierConfig(), shapes, {name, "task is classification"});
  }
}

TEST(Checkpoint, HalfOfAnOptionalNormIsRefused) {
  TensorShapes shapes = ShapesOf(TinyConfig());
  shapes["model.norm.bias"] = {12};
  ExpectTensorsRefused(TinyConfig(), shapes, {"model.norm.weight is missing beside model.norm.bias"});
  shapes = ShapesOf(TinyClassifierConfig());
  shapes["model.norm.weight"] = {12};
  ExpectTensorsRefused(TinyClassifierConfig(), shapes, {"model.norm.bias is missing beside model.norm.weight"});
}

TEST(Checkpoint, ManyProblemsAreCountedAndTheFirstTenNamed) {
  TensorShapes shapes;
  for (int i = 0; i < 5; ++i) shapes["junk." + std::to_string(i)] = {1};
  const TempDir dir;
  WriteCheckpoint(dir, TinyConfig(), shapes);
  const size_t count = ShapesOf(TinyConfig()).size() + 5;
  ExpectRefused(dir.path(), absl::StatusCode::kInvalidArgument,
                {std::to_string(count) + " problems", "model.embed_tokens.weight",
                 "and " + std::to_string(count - 10) + " more"});
}

TEST(Checkpoint, TheFingerprintFollowsConfigAndEveryWeight) {
  const TempDir dir;
  WriteCheckpoint(dir, TinyConfig(), ShapesOf(TinyConfig()));
  const std::string first = (*Checkpoint::Open(dir.path()))->fingerprint();
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ((*Checkpoint::Open(dir.path()))->fingerprint(), first);
  std::string weights = BuildWeights(ShapesOf(TinyConfig()));
  weights.back() ^= 1;
  dir.Write("model.safetensors", weights);
  const std::string second = (*Checkpoint::Open(dir.path()))->fingerprint();
  EXPECT_NE(second, first);
  json config = TinyConfig();
  config["latent_scale"] = 0.5;
  dir.Write("config.json", config.dump());
  EXPECT_NE((*Checkpoint::Open(dir.path()))->fingerprint(), second);
}

// The checkpoints in the tree, those that the authors' code wrote (converted) among them.
TEST(Checkpoint, TheGoldenCheckpointsOpen) {
  int opened = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests/golden")) {
    if (entry.path().filename() != "config.json") continue;
    const auto checkpoint = Checkpoint::Open(entry.path().parent_path().string());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    ++opened;
  }
  EXPECT_GE(opened, 5);
}

}  // namespace
}  // namespace barista

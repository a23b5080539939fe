#include "server/model/shard_index.h"

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/model/checkpoint.h"
#include "tests/model/tiny_checkpoint.h"

namespace barista {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kIndex[] = "model.safetensors.index.json";

// Two shards, "a" and "b" in the first and "c" in the second, and their index.
class ShardIndex : public testing::Test {
 protected:
  ShardIndex() {
    dir_.Write("one.safetensors", SafetensorsBuilder().AddF32("a", {1}).AddF32("b", {2}).Build());
    dir_.Write("two.safetensors", SafetensorsBuilder().AddF32("c", {3}).Build());
    dir_.Write(kIndex, index_.dump());
  }

  void ExpectRefused(absl::StatusCode code, const std::vector<std::string>& words) {
    const auto files = OpenWeightFiles(dir_.path());
    ASSERT_FALSE(files.ok()) << words[0];
    EXPECT_EQ(files.status().code(), code) << files.status();
    for (const std::string& word : words) EXPECT_THAT(std::string(files.status().message()), HasSubstr(word));
  }

  void ExpectIndexRefused(const std::string& index, const std::vector<std::string>& words) {
    dir_.Write(kIndex, index);
    ExpectRefused(absl::StatusCode::kInvalidArgument, words);
  }

  TempDir dir_;
  json index_ = {{"metadata", {{"total_size", 24}}},
                 {"weight_map", {{"a", "one.safetensors"}, {"b", "one.safetensors"}, {"c", "two.safetensors"}}}};
};

TEST_F(ShardIndex, ShardsOpenInNameOrder) {
  const auto files = OpenWeightFiles(dir_.path());
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].tensors().size(), 2u);
  EXPECT_EQ((*files)[1].tensors()[0].name, "c");
}

TEST_F(ShardIndex, MissingShardsAreNotFoundByName) {
  std::filesystem::remove(dir_.file("two.safetensors"));
  ExpectRefused(absl::StatusCode::kNotFound, {"two.safetensors"});
}

TEST_F(ShardIndex, BrokenShardsAreRefusedByName) {
  dir_.Write("two.safetensors", "short");
  ExpectRefused(absl::StatusCode::kInvalidArgument, {"two.safetensors"});
}

TEST_F(ShardIndex, TensorsThatTheirShardLacksAreRefusedByName) {
  index_["weight_map"]["d"] = "two.safetensors";
  ExpectIndexRefused(index_.dump(), {"two.safetensors", "tensor \"d\" is missing"});
}

TEST_F(ShardIndex, TensorsInTwoShardsAreRefusedByName) {
  dir_.Write("two.safetensors", SafetensorsBuilder().AddF32("c", {3}).AddF32("a", {1}).Build());
  ExpectRefused(absl::StatusCode::kInvalidArgument, {"two.safetensors", "holds tensor \"a\""});
}

TEST_F(ShardIndex, TensorsThatTheIndexDoesNotListAreRefusedByName) {
  index_["weight_map"].erase("b");
  ExpectIndexRefused(index_.dump(), {"one.safetensors", "holds tensor \"b\""});
}

TEST_F(ShardIndex, ShardsOutsideTheDirectoryAreRefused) {
  for (const std::string& name :
       {std::string("../one.safetensors"), std::string("/etc/one.safetensors"), std::string("sub/one.safetensors"),
        std::string("a\\b.safetensors"), std::string(), std::string(".."), std::string(".safetensors"),
        std::string(".hidden.safetensors"), std::string("config.json"), std::string("a\0.safetensors", 14),
        std::string(300, 'a') + ".safetensors"}) {
    index_["weight_map"]["a"] = name;
    ExpectIndexRefused(index_.dump(), {kIndex, "weight_map places \"a\" in"});
  }
}

TEST_F(ShardIndex, MalformedIndicesAreRefused) {
  ExpectIndexRefused("", {kIndex, "JSON"});
  ExpectIndexRefused("[]", {kIndex, "object"});
  ExpectIndexRefused("{}", {kIndex, "weight_map is missing"});
  ExpectIndexRefused(R"({"weight_map": {}})", {kIndex, "weight_map must map"});
  ExpectIndexRefused(R"({"weight_map": []})", {kIndex, "weight_map must map"});
  ExpectIndexRefused(R"({"weight_map": {"a": 1}})", {kIndex, "places \"a\" in 1"});
  ExpectIndexRefused(R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})",
                     {kIndex, "\"a\" appears twice"});
  ExpectIndexRefused(R"({"weights": {}, "weight_map": {"a": "x.safetensors"}})", {kIndex, "unknown key \"weights\""});
}

TEST_F(ShardIndex, BothLayoutsAtOnceAreRefused) {
  dir_.Write("model.safetensors", SafetensorsBuilder().AddF32("a", {1}).Build());
  ExpectRefused(absl::StatusCode::kInvalidArgument, {"model.safetensors.index.json", "both"});
}

TEST(ShardedCheckpoint, OpensLikeASingleFile) {
  const TempDir dir;
  dir.Write("config.json", TinyConfig().dump());
  SafetensorsBuilder shards[3];
  json map;
  size_t i = 0;
  const TensorShapes shapes = ShapesOf(TinyConfig());
  for (const auto& [name, shape] : shapes) {
    map[name] = "model-" + std::to_string(i % 3) + ".safetensors";
    shards[i++ % 3].AddF32(name, shape);
  }
  for (size_t s = 0; s < 3; ++s) dir.Write("model-" + std::to_string(s) + ".safetensors", shards[s].Build());
  dir.Write(kIndex, json{{"weight_map", map}}.dump());
  const auto checkpoint = Checkpoint::Open(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const auto& [name, shape] : shapes) {
    ASSERT_NE((*checkpoint)->find(name), nullptr) << name;
    EXPECT_EQ((*checkpoint)->find(name)->shape, shape);
  }
}

}  // namespace
}  // namespace barista

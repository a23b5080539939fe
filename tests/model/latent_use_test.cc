// The use of the latents: against the reference on every golden checkpoint, and what a collapsed model looks like.
#include "server/model/latent_use.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/loaded_model.h"

namespace barista {
namespace {

// Means over the rows of the golden files' second sequence, fed in pieces; a value for each latent layer.
std::vector<LatentUse> MeanUse(LoadedModel& m, absl::Span<const int32_t> tokens, const std::vector<int32_t>& pieces) {
  m.pool->Init(0);
  std::vector<LatentUse> sums(m.model->latent_layers().size());
  int64_t position = 0;
  for (const int32_t rows : pieces) {
    std::vector<int32_t> sampled(rows);
    std::iota(sampled.begin(), sampled.end(), 0);
    const Segment segment = {.rows = rows, .position = position, .prefill = rows > 1};
    m.model->Forward({&segment, 1}, tokens.subspan(position, rows), *m.pool, sampled);
    const std::vector<LatentUse> uses = m.model->SampledLatentUse();
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i].entropy += rows * uses[i].entropy / static_cast<double>(tokens.size());
      sums[i].effective_latents += rows * uses[i].effective_latents / static_cast<double>(tokens.size());
      sums[i].local_mass += rows * uses[i].local_mass / static_cast<double>(tokens.size());
    }
    position += rows;
  }
  return sums;
}

class LatentUseTest : public testing::TestWithParam<const char*> {
 protected:
  LoadedModel Load(const std::string& directory) const {
    return LoadedModel::Load(directory, {.kind = GetParam(), .threads = 2}, {.latent_rows_max = 512});
  }
};

// 1e-4: entropies are near 2, float32's p is good to 1e-6, and the bf16 rings of one checkpoint to 1e-2.
TEST_P(LatentUseTest, EntropyIsThatOfTheReference) {
  int compared = 0;
  for (const std::string& directory : GoldenDirectories()) {
    const GoldenFile golden(directory);
    if (!golden.has("latent_entropy") || directory.find("bf16") != std::string::npos) continue;
    LoadedModel m = Load(directory);
    const auto want = golden.Read<float>("latent_entropy");
    const auto all = golden.Read<int32_t>("tokens");
    const absl::Span<const int32_t> tokens = all.row(1);
    const int32_t count = static_cast<int32_t>(tokens.size());
    for (const auto& pieces : {std::vector<int32_t>{count}, std::vector<int32_t>(count, 1), RandomCuts(count, 7)}) {
      const std::vector<LatentUse> got = MeanUse(m, tokens, pieces);
      ASSERT_EQ(got.size(), want.values.size()) << directory;
      for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i].entropy, want.values[i], 1e-4) << directory << i;
    }
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

// By the float64 NumPy reference (tests/golden/README.md), second sequence, layer after layer.
struct Expected {
  double effective_latents, local_mass;
};
const std::map<std::string, std::vector<Expected>>& ByReference() {
  static const auto& values = *new std::map<std::string, std::vector<Expected>>{
      {"gemma-macchiato", {{6.5512021445293644, 0.11958994708353625}, {4.873295900571113, 0.05362864039336776}}},
      {"latte-extreme", {{8.429054991175247, 0}, {7.065780745509898, 0}}},
      {"latte-vapor", {{6.057537870766027, 0}, {5.7777783024739024, 0}, {5.809829631647449, 0}}},
      {"macchiato-conv-rope", {{7.200676679014656, 0.08372769133950263}, {6.639069454776984, 0.0766747575292298}}},
      {"macchiato-rglru",
       {{9.419431085471299, 0.08333965491116664},
        {8.470125550185156, 0.10227156226229227},
        {6.476588294287194, 0.12990877902784295}}},
  };
  return values;
}

TEST_P(LatentUseTest, EffectiveLatentsAndLocalMassAreThoseOfTheReference) {
  for (const auto& [name, want] : ByReference()) {
    LoadedModel m = Load("tests/golden/variants/" + name);
    const auto tokens = GoldenFile("tests/golden/variants/" + name).Read<int32_t>("tokens");
    const std::vector<LatentUse> got = MeanUse(m, tokens.row(1), {static_cast<int32_t>(tokens.row(1).size())});
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i].effective_latents, want[i].effective_latents, 1e-3) << name << i;  // e^2 times the entropy's
      EXPECT_NEAR(got[i].local_mass, want[i].local_mass, 1e-4) << name << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LatentUseTest, testing::Values("ref", "cpu"));

LatentUse UseOf(std::vector<float> p, int64_t states, bool local) {
  const int64_t columns = static_cast<int64_t>(p.size());
  return MeasureLatentUse({p.data(), DType::kF32, 1, columns, columns}, states, local);
}

TEST(LatentUseOfTest, ACollapsedModelUsesOneState) {
  const LatentUse use = UseOf({0, 0, 1, 0, /* second head */ 0, 0, 1, 0}, 4, true);
  EXPECT_EQ(use.entropy, 0);
  EXPECT_EQ(use.effective_latents, 1);
  EXPECT_EQ(use.local_mass, 0);
}

TEST(LatentUseOfTest, AModelThatLooksAtItsWindowAloneHasLocalMassOne) {
  const LatentUse use = UseOf({1, 0, 0, 0}, 4, true);
  EXPECT_EQ(use.effective_latents, 1);
  EXPECT_EQ(use.local_mass, 1);
}

TEST(LatentUseOfTest, AnEvenMixUsesAllStates) {
  const LatentUse use = UseOf({0.25f, 0.25f, 0.25f, 0.25f}, 4, false);
  EXPECT_DOUBLE_EQ(use.entropy, std::log(4));
  EXPECT_NEAR(use.effective_latents, 4, 1e-12);
  EXPECT_EQ(use.local_mass, 0);  // no local state
}

TEST(LatentUseOfTest, NothingIsComputedWhereNoRowIsSampled) {
  LoadedModel m = LoadedModel::Load("tests/golden/variants/macchiato-rglru", {.kind = "cpu", .threads = 1});
  m.pool->Init(0);
  const std::vector<int32_t> tokens = {5, 6, 7};
  const Segment segment = {.rows = 3, .prefill = true};
  m.model->Forward({&segment, 1}, tokens, *m.pool);
  EXPECT_TRUE(m.model->SampledLatentUse().empty());
}

}  // namespace
}  // namespace barista

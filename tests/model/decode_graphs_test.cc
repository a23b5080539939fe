// Recorded steps of decodes leave the bits of steps whose operations are queued one by one: every golden language
// model, any number of sequences, in any slots.
#include "kernels/cuda/decode_graphs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <numeric>

#include "tests/support/device_backend.h"
#include "tests/support/golden.h"
#include "tests/support/loaded_model.h"

namespace barista {
namespace {

TEST(GraphRowsTest, AtMostAFifthIsIdleAndFewNumbersDo) {
  std::vector<int64_t> numbers;
  for (int64_t rows = 1; rows <= 512; ++rows) {
    const int64_t padded = GraphRows(rows);
    EXPECT_GE(padded, rows);
    EXPECT_LE(padded - rows, padded / 5) << rows;
    EXPECT_EQ(GraphRows(padded), padded);
    if (padded == rows) numbers.push_back(rows);
  }
  EXPECT_EQ(numbers.size(), 32u);
  EXPECT_EQ(numbers.back(), 512);
}

class DecodeGraphsTest : public testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  static constexpr int32_t kSlots = 11;

  LoadedModel Load() const {
    const auto& [directory, weights] = GetParam();
    const std::string kind = test::HasDevice() ? "cuda" : "cpu";  // a build for cards on a machine without one
    return LoadedModel::Load(
        directory, test::MakeBackendUnderTest({.kind = kind}),
        {.weights = {.dtype = weights}, .rows_max = 128, .logits_rows_max = kSlots, .max_positions = 400}, kSlots);
  }
};

TEST_P(DecodeGraphsTest, TheBitsAreThoseOfOperationsOneByOne) {
  LoadedModel plain = Load(), recorded = Load();
  recorded.model->RecordDecodes(*recorded.pool);
  std::mt19937 random(7);
  const int64_t vocab = plain.model->config().vocab_size;
  const auto draw = [&](int64_t count) {
    std::vector<int32_t> tokens(count);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocab);
    return tokens;
  };
  const auto forward = [&](Segments segments, const std::vector<int32_t>& tokens) {
    plain.model->Forward(segments, tokens, *plain.pool);
    recorded.model->Forward(segments, tokens, *recorded.pool);
  };
  std::vector<int64_t> position(kSlots);
  std::vector<int32_t> slots(kSlots);
  std::iota(slots.begin(), slots.end(), 0);
  for (const int32_t slot : slots) {
    plain.pool->Init(slot);
    recorded.pool->Init(slot);
  }
  for (int step = 0; step < 12; ++step) {
    std::shuffle(slots.begin(), slots.end(), random);
    std::vector<Segment> segments;
    int32_t rows = 0;
    const int32_t sequences = 1 + static_cast<int32_t>(random() % kSlots);
    const bool prompt = step % 6 == 0;  // one among the decodes: this step is not recorded
    for (int32_t i = 0; i < sequences; ++i) {
      const bool prefill = prompt && i == sequences / 2;
      segments.push_back({.slot = slots[i],
                          .row = rows,
                          .rows = prefill ? 20 : 1,
                          .position = position[slots[i]],
                          .prefill = prefill});
      rows += segments.back().rows;
      position[slots[i]] += segments.back().rows;
    }
#ifdef BARISTA_CUDA_SHIM
    const int64_t launches = shim::GraphLaunches();
    forward(segments, draw(rows));
    EXPECT_EQ(shim::GraphLaunches() - launches, prompt ? 0 : 1);
#else
    forward(segments, draw(rows));
#endif
    const absl::Span<const int32_t> drawn = absl::MakeConstSpan(slots).first(sequences);
    const Rows a = plain.model->Logits(drawn, *plain.pool), b = recorded.model->Logits(drawn, *recorded.pool);
    for (int32_t i = 0; i < sequences; ++i) ASSERT_EQ(plain.ReadRow(a, i), recorded.ReadRow(b, i)) << step;
  }
  for (int32_t slot = 0; slot < kSlots; ++slot) EXPECT_EQ(plain.pool->Download(slot), recorded.pool->Download(slot));
  EXPECT_TRUE(recorded.backend->status().ok()) << recorded.backend->status();
}

std::vector<std::string> LanguageModels() {
  std::vector<std::string> directories = GoldenDirectories();
  directories.erase(std::remove_if(directories.begin(), directories.end(),
                                   [](const std::string& d) { return d.find("cls") != std::string::npos; }),
                    directories.end());
  return directories;
}

std::string CaseName(const testing::TestParamInfo<DecodeGraphsTest::ParamType>& info) {
  const auto& [directory, weights] = info.param;
  std::string name = directory.substr(std::string("tests/golden/").size()) + "_" + std::string(Name(weights));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Golden, DecodeGraphsTest,
                         testing::Combine(testing::ValuesIn(LanguageModels()),
                                          testing::Values(DType::kF32, DType::kBF16)),
                         CaseName);

}  // namespace
}  // namespace barista

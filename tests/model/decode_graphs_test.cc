// Recorded steps of decodes leave the bits of steps whose operations are queued one by one: every golden language
// model, any number of sequences, in any slots.
#include "kernels/cuda/decode_graphs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <numeric>

#include "tests/support/case_name.h"
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
  static constexpr int32_t kSlots = 11, kLogitsRows = 4;

  LoadedModel Load() const {
    const auto& [directory, weights] = GetParam();
    const std::string kind = test::HasDevice() ? "cuda" : "cpu";  // a build for cards on a machine without one
    return LoadedModel::Load(
        directory, test::MakeBackendUnderTest({.kind = kind}),
        {.weights = {.dtype = weights}, .rows_max = 128, .logits_rows_max = kLogitsRows, .max_positions = 400}, kSlots);
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
  const std::vector<SamplingParams> params = {
      {.temperature = 0},
      {.top_k = 3, .seed = 5},
      {.temperature = 0.7f, .top_p = 0.8f, .logit_bias = {{1, 4.0f}}, .seed = 6}};
  const std::vector<int32_t> forbidden = {0, 2};
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
    std::vector<SampleRow> draws(sequences);
    for (int32_t i = 0; i < sequences; ++i) {
      draws[i] = {.params = &params[i % params.size()],
                  .forbidden = i % 4 == 0 ? absl::MakeConstSpan(forbidden) : absl::Span<const int32_t>(),
                  .choice = 1,
                  .position = static_cast<uint64_t>(position[slots[i]]),
                  .top_logprobs = i % 5 == 0 ? 0 : -1};
    }
    const std::vector<int32_t> tokens = draw(rows);
    plain.model->Forward(segments, tokens, *plain.pool);
    if (prompt) {
      EXPECT_FALSE(recorded.model->Forward(segments, tokens, *recorded.pool));
    } else {
      EXPECT_EQ(recorded.model->Forward(segments, tokens, *recorded.pool, {}, draws), test::HasDevice());
    }
    const absl::Span<const int32_t> drawn = absl::MakeConstSpan(slots).first(sequences);
    std::vector<SampleResult> one_by_one(sequences), recorded_draws(sequences);
    const bool replayed = !prompt && test::HasDevice();
    if (replayed) recorded.model->TakeDraws(absl::MakeSpan(recorded_draws));
    for (int32_t first = 0; first < sequences; first += kLogitsRows) {
      const int32_t count = std::min(kLogitsRows, sequences - first);
      const Rows a = plain.model->Logits(drawn.subspan(first, count), *plain.pool);
      const Rows b = recorded.model->Logits(drawn.subspan(first, count), *recorded.pool);
      for (int32_t i = 0; i < count; ++i) ASSERT_EQ(plain.ReadRow(a, i), recorded.ReadRow(b, i)) << step;
      plain.backend->Sample(a, absl::MakeSpan(draws).subspan(first, count),
                            absl::MakeSpan(one_by_one).subspan(first, count));
    }
    for (int32_t i = 0; replayed && i < sequences; ++i) {
      ASSERT_EQ(recorded_draws[i].token, one_by_one[i].token) << step;
      ASSERT_EQ(recorded_draws[i].logprob, one_by_one[i].logprob) << step;
    }
  }
  for (int32_t slot = 0; slot < kSlots; ++slot) EXPECT_EQ(plain.pool->Download(slot), recorded.pool->Download(slot));
  EXPECT_TRUE(recorded.backend->status().ok()) << recorded.backend->status();
}

// The device draws, and goes on with what it drew, while the host hears of it a step later: rows that end stand still,
// with the state that they ended with.
TEST_P(DecodeGraphsTest, StepsThatGoOnByThemselvesDrawTheSameTokens) {
  if (!test::HasDevice()) return;  // a build for cards on a machine without one
  LoadedModel plain = Load(), recorded = Load();
  recorded.model->RecordDecodes(*recorded.pool);
  const int64_t vocab = plain.model->config().vocab_size;
  constexpr int32_t kRows = 6, kSteps = 8;
  const std::vector<SamplingParams> params = {{.temperature = 0}, {.top_p = 0.9f, .seed = 9}};
  std::vector<int32_t> ends;  // half of the vocabulary
  for (int32_t id = 0; id < vocab; id += 2) ends.push_back(id);
  std::vector<Segment> segments;
  std::vector<int32_t> tokens;
  std::vector<SampleRow> draws;
  for (int32_t r = 0; r < kRows; ++r) {
    segments.push_back({.slot = kSlots - 1 - r, .row = r, .rows = 1, .position = 0});
    tokens.push_back(r);
    draws.push_back({.params = &params[r % 2], .choice = 3, .position = 1});
    if (r == 0) draws.back().draws_left = 3;
    if (r == 3) draws.back().draws_left = 0;
    if (r != 0 && r != 3) draws.back().draws_left = 100;
    if (r >= 4) draws.back().ends = ends;
    plain.pool->Init(segments[r].slot);
    recorded.pool->Init(segments[r].slot);
  }
  ASSERT_TRUE(recorded.model->Forward(segments, tokens, *recorded.pool, {}, draws));
  std::vector<int32_t> rows(kRows);  // that still draw
  std::iota(rows.begin(), rows.end(), 0);
  for (int step = 0; step < kSteps; ++step) {
    std::vector<SampleResult> ahead(kRows);
    const bool continued = step + 1 == kSteps || recorded.model->Continue();
    ASSERT_TRUE(continued);
    recorded.model->TakeDraws(absl::MakeSpan(ahead));
    std::vector<bool> drew(kRows);
    std::vector<int32_t> go_on;
    for (const int32_t r : rows) {
      Segment one = segments[r];
      one.row = 0;
      one.position = step;
      plain.model->Forward({&one, 1}, {&tokens[r], 1}, *plain.pool);
      SampleResult result;
      SampleRow draw = draws[r];
      draw.position = step + 1;
      plain.backend->Sample(plain.model->Logits({&one.slot, 1}, *plain.pool), {&draw, 1}, {&result, 1});
      EXPECT_EQ(ahead[r].token, result.token) << "step " << step << ", row " << r;
      drew[r] = true;
      tokens[r] = result.token;
      const bool ended = std::find(draw.ends.begin(), draw.ends.end(), result.token) != draw.ends.end();
      if (!ended && step < draw.draws_left) go_on.push_back(r);
    }
    for (int32_t r = 0; r < kRows; ++r)
      EXPECT_TRUE(drew[r] || ahead[r].token == -1) << "step " << step << ", row " << r;
    rows = go_on;
  }
  for (int32_t slot = 0; slot < kSlots; ++slot) EXPECT_EQ(plain.pool->Download(slot), recorded.pool->Download(slot));
  EXPECT_TRUE(recorded.backend->status().ok()) << recorded.backend->status();
}

TEST(RecordDecodesTest, AClassifierHasNone) {
  const std::string kind = test::HasDevice() ? "cuda" : "cpu";  // a build for cards on a machine without one
  LoadedModel m = LoadedModel::Load("tests/golden/extra/cls-last-rglru", test::MakeBackendUnderTest({.kind = kind}),
                                    {.rows_max = 64});
  const std::vector<int32_t> text = {1, 2, 3};
  const std::vector<double> before = m.model->Classify(text);
  m.model->RecordDecodes(*m.pool);
  EXPECT_EQ(m.model->Classify(text), before);
  EXPECT_TRUE(m.backend->status().ok()) << m.backend->status();
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
  return test::CaseName(directory.substr(std::string("tests/golden/").size()) + "_" + std::string(Name(weights)));
}

INSTANTIATE_TEST_SUITE_P(Golden, DecodeGraphsTest,
                         testing::Combine(testing::ValuesIn(LanguageModels()),
                                          testing::Values(DType::kF32, DType::kBF16)),
                         CaseName);

}  // namespace
}  // namespace barista

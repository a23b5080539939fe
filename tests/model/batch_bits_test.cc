// What a sequence draws, and the state it leaves, do not depend on how many others are decoded beside it on a device:
// batches of 1 to 256, as recorded steps and as operations one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/support/case_name.h"
#include "tests/support/device_backend.h"
#include "tests/support/full.h"
#include "tests/support/golden.h"
#include "tests/support/loaded_model.h"

namespace barista {
namespace {

std::vector<int32_t> Batches() {
  if (!test::kDeviceIsSlow) return {1, 2, 7, 64, 256};
  return test::WantsWholeCounts() ? std::vector<int32_t>{1, 2, 7, 64} : std::vector<int32_t>{1, 2, 7};
}

struct Case {
  std::string directory, weights;
  bool recorded = false;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.directory << ", " << c.weights << (c.recorded ? ", recorded" : "");
}

class BatchBitsTest : public testing::TestWithParam<Case> {
 protected:
  static constexpr int kSteps = 3;
  static constexpr int32_t kPast = 37;

  // Of one sequence: what it drew and where that left it.
  struct Line {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    size_t state = 0;
    bool operator==(const Line&) const = default;
  };

  void SetUp() override {
    most_ = Batches().back();
    const std::string kind = test::HasDevice() ? "cuda" : "cpu";  // a build for cards on a machine without one
    m_ = LoadedModel::Load(GetParam().directory, test::MakeBackendUnderTest({.kind = kind}),
                           {.weights = *WeightFormatNamed(GetParam().weights),
                            .rows_max = std::max(most_, kPast),
                            .logits_rows_max = 100,
                            .max_positions = 64},
                           most_ + 1);
    if (GetParam().recorded) m_.model->RecordDecodes(*m_.pool);
    std::vector<int32_t> past(kPast);
    for (int32_t t = 0; t < kPast; ++t) past[t] = TokenOf(7 * t + 3);
    m_.pool->Init(most_);
    const Segment read = {.slot = most_, .rows = kPast, .position = 0, .prefill = true};
    m_.model->Forward({&read, 1}, past, *m_.pool);
  }

  int32_t TokenOf(int32_t n) const { return n % static_cast<int32_t>(m_.model->config().vocab_size); }

  // Sequences [first, first + slots.size()), each in its slot: of one past, apart by their first token.
  std::vector<Line> Run(int32_t first, const std::vector<int32_t>& slots) {
    const SamplingParams params[] = {{.temperature = 0}, {.temperature = 1, .seed = 5}};
    const int32_t count = static_cast<int32_t>(slots.size());
    std::vector<Segment> segments;
    std::vector<SampleRow> draws;
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < count; ++i) {
      m_.pool->Copy(slots[i], most_);
      segments.push_back({.slot = slots[i], .row = i, .rows = 1});
      draws.push_back(
          {.params = &params[(first + i) % 2], .choice = static_cast<uint64_t>(first + i), .top_logprobs = 0});
      tokens.push_back(TokenOf(first + i));
    }
    std::vector<Line> lines(count);
    for (int step = 0; step < kSteps; ++step) {
      for (int32_t i = 0; i < count; ++i) {
        segments[i].position = kPast + step;
        draws[i].position = kPast + step + 1;
      }
      const std::vector<SampleResult> drawn = Step(segments, tokens, slots, draws);
      for (int32_t i = 0; i < count; ++i) {
        EXPECT_TRUE(drawn[i].finite);
        tokens[i] = drawn[i].token;
        lines[i].tokens.push_back(drawn[i].token);
        lines[i].logprobs.push_back(drawn[i].logprob);
      }
    }
    for (int32_t i = 0; i < count; ++i) lines[i].state = std::hash<std::string>()(m_.pool->Download(slots[i]));
    return lines;
  }

  std::vector<SampleResult> Step(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const int32_t> slots,
                                 absl::Span<const SampleRow> draws) {
    std::vector<SampleResult> results(slots.size());
    if (m_.model->Forward(segments, tokens, *m_.pool, {}, draws)) {
      m_.model->TakeDraws(absl::MakeSpan(results));
      return results;
    }
    const size_t tile = static_cast<size_t>(m_.model->options().logits_rows_max);
    for (size_t done = 0; done < slots.size(); done += tile) {
      const size_t count = std::min(tile, slots.size() - done);
      m_.backend->Sample(m_.model->Logits(slots.subspan(done, count), *m_.pool), draws.subspan(done, count),
                         absl::MakeSpan(results).subspan(done, count));
    }
    return results;
  }

  int32_t most_ = 0;  // sequences; also the slot of their past
  LoadedModel m_;
};

TEST_P(BatchBitsTest, EachDrawsWhatItDrawsAlone) {
  std::vector<Line> alone;
  for (int32_t s = 0; s < most_; ++s) alone.push_back(Run(s, {0})[0]);
  std::mt19937 random(3);
  std::vector<int32_t> slots(most_);
  std::iota(slots.begin(), slots.end(), 0);
  for (const int32_t batch : Batches()) {
    std::shuffle(slots.begin(), slots.end(), random);
    const int32_t first = static_cast<int32_t>(random() % (most_ - batch + 1));
    const std::vector<Line> together = Run(first, {slots.begin(), slots.begin() + batch});
    for (int32_t i = 0; i < batch; ++i) EXPECT_EQ(together[i], alone[first + i]) << "sequence " << i << " of " << batch;
  }
  EXPECT_TRUE(m_.backend->status().ok()) << m_.backend->status();
}

std::vector<Case> Cases() {
  std::vector<std::string> directories = {"tests/golden/variants/gemma-macchiato"};
  if (!test::kDeviceIsSlow) {
    directories = GoldenDirectories();
    directories.push_back("deploy/demo-model");
  }
  std::vector<Case> cases;
  for (const std::string& directory : directories) {
    if (directory.find("cls") != std::string::npos) continue;
    for (const char* weights : {"f32", "bf16", "int8", "int4"}) {
      cases.push_back({directory, weights, true});
      if (!test::kDeviceIsSlow || test::WantsWholeCounts()) cases.push_back({directory, weights, false});
    }
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return test::CaseName(
      absl::StrCat(info.param.directory, "_", info.param.weights, info.param.recorded ? "_recorded" : ""));
}

INSTANTIATE_TEST_SUITE_P(All, BatchBitsTest, testing::ValuesIn(Cases()), CaseName);

}  // namespace
}  // namespace barista

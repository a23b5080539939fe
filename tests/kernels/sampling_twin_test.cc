// The fast samplers against their reference on random rows, and the frequencies of its draws.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/math/isa.h"
#include "kernels/sampling/sampling.h"
#include "tests/kernels/sampling_on_device.h"

namespace barista {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A random row: its logits, parameters and lists.
struct Case {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<TokenCount> counts;
  std::vector<int32_t> forbidden;
  SampleRow row;
};

template <class T>
T Pick(std::mt19937& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

Case MakeCase(int64_t vocab, std::mt19937& random) {
  Case c;
  c.logits.resize(vocab);
  const float spread = Pick(random, {0.0f, 1e-4f, 1.0f, 3.0f, 20.0f});
  const bool coarse = random() % 3 == 0;  // many ties
  std::normal_distribution<float> normal;
  for (float& z : c.logits) {
    z = spread * normal(random);
    if (coarse) z = std::round(z);
    if (random() % 50 == 0) z = -kInfinity;
  }
  c.logits[random() % vocab] = 1;
  SamplingParams& p = c.params;
  p.temperature = Pick(random, {0.0f, 1e-6f, 1e-3f, 0.7f, 1.0f, 2.0f, 100.0f});
  if (random() % 2) p.top_k = Pick(random, {1, 2, 40, 300, static_cast<int>(vocab), static_cast<int>(vocab) - 1});
  if (random() % 2) p.top_p = Pick(random, {1e-9f, 0.1f, 0.5f, 0.9f, 0.999f, 0.99999994f});
  if (random() % 2) p.typical_p = Pick(random, {1e-9f, 0.2f, 0.95f, 0.9999f});
  if (random() % 2) p.min_p = Pick(random, {1e-30f, 0.001f, 0.1f, 1.0f});
  if (random() % 4 == 0) {
    p.repetition_penalty = Pick(random, {0.5f, 1.3f});
    p.presence_penalty = Pick(random, {-1.0f, 0.5f});
    p.frequency_penalty = Pick(random, {0.0f, 0.1f});
  }
  for (int32_t id = 0; id < vocab; id += 1 + static_cast<int32_t>(random() % (vocab / 10 + 1))) {
    switch (random() % 4) {
      case 0:
        c.counts.push_back({id, random() % 2 == 0, static_cast<int32_t>(random() % 4)});
        break;
      case 1:
        p.logit_bias.push_back({id, Pick(random, {-kInfinity, -2.0f, 5.0f})});
        break;
      case 2:
        if (id > 0) c.forbidden.push_back(id);
        break;
      default:
        break;
    }
  }
  p.seed = random();
  return c;
}

// Whether u lies in the token's interval of the distribution, its borders off by rounding.
bool WithinRounding(const std::vector<double>& distribution, double u, int32_t token) {
  double sum = 0;
  for (int32_t id = 0; id <= token; ++id) {
    const double next = sum + distribution[id];
    if (id == token) return u > sum - 2e-6 && u < next + 2e-6;
    sum = next;
  }
  return false;
}

// Who draws: the CPU with its widest instruction set, or, without one, a device.
using Sampler = std::optional<CpuIsa>;

SampleResult Sample(Sampler sampler, const std::vector<float>& logits, const SampleRow& row) {
  if (!sampler) return test::SampleOnDevice(logits, row);
  std::vector<float> scratch(logits.size());
  return SampleCpu(logits.data(), static_cast<int64_t>(logits.size()), row, scratch.data());
}

// (vocabulary, sampler); a machine without the instruction set repeats the next narrower one.
class SamplingTwin : public testing::TestWithParam<std::tuple<int64_t, Sampler>> {
 protected:
  void SetUp() override {
    if (sampler()) LimitVectorIsa(*sampler());
  }
  void TearDown() override { LimitVectorIsa(CpuIsa::kAmx); }
  static Sampler sampler() { return std::get<1>(GetParam()); }
};

std::vector<Sampler> Samplers() {
  std::vector<Sampler> samplers = {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512};
  if (test::HasDevice()) samplers.push_back(std::nullopt);
  return samplers;
}

TEST_P(SamplingTwin, DrawsTheReferencesTokenForAnyCombinationOfParameters) {
  const int64_t vocab = std::get<0>(GetParam());
  std::mt19937 random(static_cast<uint32_t>(vocab));
  const int cases = vocab > 10000 ? 40 : vocab > 1000 ? 300 : 1000;
  int equal = 0;
  for (int i = 0; i < cases; ++i) {
    Case c = MakeCase(vocab, random);
    c.row = {
        .params = &c.params, .counts = c.counts, .forbidden = c.forbidden, .choice = random(), .position = random()};
    const SampleResult ref = SampleRef(c.logits.data(), vocab, c.row);
    const SampleResult cpu = Sample(sampler(), c.logits, c.row);
    ASSERT_EQ(cpu.finite, ref.finite) << "case " << i;
    equal += cpu.token == ref.token;
    if (cpu.token == ref.token) continue;
    const SamplingParams& p = c.params;
    EXPECT_TRUE(WithinRounding(DistributionRef(c.logits.data(), vocab, c.row),
                               UniformAt(p.seed, c.row.choice, c.row.position), cpu.token))
        << absl::StrCat("case ", i, ": cpu ", cpu.token, " ref ", ref.token, " temperature ", p.temperature, " top_k ",
                        p.top_k, " typical_p ", p.typical_p, " top_p ", p.top_p, " min_p ", p.min_p);
  }
  EXPECT_GE(equal, cases * 99 / 100);
}

TEST_P(SamplingTwin, LogprobsAgreeInIdsAndValues) {
  const int64_t vocab = std::get<0>(GetParam());
  std::mt19937 random(static_cast<uint32_t>(vocab) + 1);
  for (int i = 0; i < 20; ++i) {
    const Case c = MakeCase(vocab, random);
    const int32_t target = static_cast<int32_t>(random() % vocab);
    const int32_t k = Pick(random, {0, 1, 5, 20, 1000});
    const SampleResult ref = LogprobsRef(c.logits.data(), vocab, target, k);
    const SampleResult cpu =
        sampler() ? LogprobsCpu(c.logits.data(), vocab, target, k) : test::LogprobsOnDevice(c.logits, target, k);
    const auto expect_near = [](float a, float b) {
      EXPECT_TRUE(a == b || std::abs(a - b) <= 1e-5 * (1 + std::abs(b))) << a << " " << b;  // -inf equals -inf
    };
    expect_near(cpu.logprob, ref.logprob);
    ASSERT_EQ(cpu.top.size(), static_cast<size_t>(std::min<int64_t>(k, vocab)));
    ASSERT_EQ(cpu.top.size(), ref.top.size());
    for (size_t t = 0; t < ref.top.size(); ++t) {
      ASSERT_EQ(cpu.top[t].id, ref.top[t].id) << "rank " << t;
      expect_near(cpu.top[t].logprob, ref.top[t].logprob);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, SamplingTwin,
                         testing::Combine(testing::Values(1, 2, 17, 320, 5003, 50304), testing::ValuesIn(Samplers())));

TEST(SamplingDraws, FrequenciesFitTheProbabilities) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const int64_t vocab = 100;
  std::vector<float> logits(vocab), scratch(vocab);
  for (float& z : logits) z = 1.5f * normal(random);
  SamplingParams filtered;
  filtered.temperature = 0.8f;
  filtered.top_k = 60;
  filtered.typical_p = 0.98f;
  filtered.top_p = 0.95f;
  filtered.min_p = 0.01f;
  const SamplingParams plain;
  for (const SamplingParams& p : {plain, filtered}) {
    SampleRow row{.params = &p, .counts = {}, .forbidden = {}};
    const std::vector<double> distribution = DistributionRef(logits.data(), vocab, row);
    std::vector<int> seen(vocab);
    const int draws = 100000;
    for (row.position = 0; row.position < draws; ++row.position) {
      ++seen[SampleCpu(logits.data(), vocab, row, scratch.data()).token];
    }
    double chi_square = 0;
    int cells = 0;
    for (int64_t i = 0; i < vocab; ++i) {
      const double expected = distribution[i] * draws;
      if (expected == 0) {
        EXPECT_EQ(seen[i], 0);
      } else if (expected >= 5) {
        chi_square += (seen[i] - expected) * (seen[i] - expected) / expected;
        ++cells;
      }
    }
    const double freedom = cells - 1;
    EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2 * freedom)) << cells << " cells";
  }
}

TEST(SamplingDraws, ARowsResultIsAFunctionOfTheRowAlone) {
  std::mt19937 random(11);
  std::vector<Case> cases;
  std::vector<SampleResult> first;
  for (int i = 0; i < 8; ++i) cases.push_back(MakeCase(i % 2 ? 50304 : 333, random));
  for (int repeat = 0; repeat < 2; ++repeat) {
    for (size_t n = 0; n < cases.size(); ++n) {
      const size_t i = repeat == 0 ? n : cases.size() - 1 - n;  // other neighbours the second time
      Case& c = cases[i];
      c.row = {.params = &c.params, .counts = c.counts, .forbidden = c.forbidden, .position = i, .top_logprobs = 5};
      SampleResult r = Sample(CpuIsa::kAmx, c.logits, c.row);
      if (repeat == 0) {
        first.push_back(r);
        continue;
      }
      EXPECT_EQ(r.token, first[i].token);
      EXPECT_EQ(r.logprob, first[i].logprob);
      ASSERT_EQ(r.top.size(), first[i].top.size());
      for (size_t t = 0; t < r.top.size(); ++t) EXPECT_EQ(r.top[t].logprob, first[i].top[t].logprob);
    }
  }
}

}  // namespace
}  // namespace barista

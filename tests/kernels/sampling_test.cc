// What each sampling parameter means, by hand-worked rows. Every case runs on the reference in float and double, on
// the CPU, and on a device.
#include "kernels/sampling/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>

#include "kernels/sampling/philox.h"
#include "tests/kernels/sampling_on_device.h"

namespace barista {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> LogsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

// The CPU's result, which a device's must equal.
SampleResult OnTwins(const std::vector<float>& logits, const SampleRow& row) {
  std::vector<float> scratch(logits.size(), kNan);
  const SampleResult cpu = SampleCpu(logits.data(), static_cast<int64_t>(logits.size()), row, scratch.data());
  if (!test::HasDevice()) return cpu;
  const SampleResult device = test::SampleOnDevice(logits, row);
  EXPECT_EQ(device.token, cpu.token);
  EXPECT_EQ(device.finite, cpu.finite);
  EXPECT_NEAR(device.logprob, cpu.logprob, 1e-6);
  EXPECT_EQ(device.top.size(), cpu.top.size());
  for (size_t i = 0; i < cpu.top.size(); ++i) EXPECT_EQ(device.top[i].id, cpu.top[i].id);
  return cpu;
}

template <class T>
SampleResult OnRef(const std::vector<float>& logits, const SampleRow& row) {
  const std::vector<T> z(logits.begin(), logits.end());
  return SampleRef(z.data(), static_cast<int64_t>(z.size()), row);
}

std::vector<double> Distribution(const std::vector<float>& logits, const SampleRow& row) {
  return DistributionRef(logits.data(), static_cast<int64_t>(logits.size()), row);
}

// Draws at 400 positions on each implementation: they agree, and exactly the ids of the distribution with a probability
// above 2 % turn up, and no dropped one.
void ExpectDrawsFrom(const std::vector<float>& logits, SampleRow row, const std::vector<double>& expected) {
  EXPECT_THAT(Distribution(logits, row), Pointwise(DoubleNear(1e-6), expected));
  std::map<int32_t, int> seen;
  for (row.position = 0; row.position < 400; ++row.position) {
    const SampleResult cpu = OnTwins(logits, row);
    ASSERT_TRUE(cpu.finite);
    ASSERT_EQ(cpu.token, OnRef<float>(logits, row).token);
    ASSERT_EQ(cpu.token, OnRef<double>(logits, row).token);
    ++seen[cpu.token];
  }
  for (size_t id = 0; id < expected.size(); ++id) {
    const int count = seen[static_cast<int32_t>(id)];
    EXPECT_FALSE(expected[id] == 0 && count > 0) << "dropped id " << id;
    EXPECT_FALSE(expected[id] > 0.02 && count == 0) << "kept id " << id;
  }
}

TEST(Philox, MatchesTheKnownAnswersOfRandom123) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(UniformAt, IsInUnitIntervalWithMeanHalfAndUsesEveryBitOfItsArguments) {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = UniformAt(7, 0, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
  const double base = UniformAt(1, 2, 3);
  EXPECT_EQ(base, UniformAt(1, 2, 3));
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t flip = uint64_t{1} << bit;
    EXPECT_NE(base, UniformAt(1 ^ flip, 2, 3));
    EXPECT_NE(base, UniformAt(1, 2 ^ flip, 3));
    EXPECT_NE(base, UniformAt(1, 2, 3 ^ flip));
  }
}

TEST(UniformAt, NeighbouringSeedsChoicesAndPositionsAreUncorrelated) {
  const auto correlation = [](auto first, auto second) {
    double sum = 0;
    for (uint64_t i = 0; i < 20000; ++i) sum += (first(i) - 0.5) * (second(i) - 0.5) * 12;
    return sum / 20000;
  };
  const auto base = [](uint64_t i) { return UniformAt(5, 0, i); };
  EXPECT_NEAR(correlation(base, [](uint64_t i) { return UniformAt(6, 0, i); }), 0, 0.03);
  EXPECT_NEAR(correlation(base, [](uint64_t i) { return UniformAt(5, 1, i); }), 0, 0.03);
  EXPECT_NEAR(correlation(base, [](uint64_t i) { return UniformAt(5, 0, i + 1); }), 0, 0.03);
}

struct Sampling : testing::Test {
  SamplingParams params;
  SampleRow row = {.params = &params, .counts = {}, .forbidden = {}};
};

TEST_F(Sampling, TemperatureZeroTakesTheLargestAndTheLowestOfEquals) {
  params.temperature = 0;
  for (const std::vector<float>& logits : {std::vector<float>{1, 3, 3, 2}, {-kInfinity, -5, -9, -5}}) {
    EXPECT_EQ(OnTwins(logits, row).token, 1);
    EXPECT_EQ(OnRef<float>(logits, row).token, 1);
    EXPECT_EQ(OnRef<double>(logits, row).token, 1);
  }
}

TEST_F(Sampling, TemperatureDividesTheLogits) {
  params.temperature = 0.5f;
  ExpectDrawsFrom(LogsOf({0.5, 0.3, 0.2}), row, {0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38});
  params.temperature = 1e-6f;
  ExpectDrawsFrom({1, 2, 1.5f}, row, {0, 1, 0});
  params.temperature = std::numeric_limits<float>::denorm_min();
  ExpectDrawsFrom({1, 2, 1.5f}, row, {0, 1, 0});
}

TEST_F(Sampling, TopKKeepsExactlyKAndTheLowestIdsOfATie) {
  params.top_k = 2;
  ExpectDrawsFrom({1, 2, 2, 2}, row, {0, 0.5, 0.5, 0});
  params.top_k = 1;
  ExpectDrawsFrom({1, 2, 2, 2}, row, {0, 1, 0, 0});
  params.top_k = 9;
  ExpectDrawsFrom({0, 0, 0, 0}, row, {0.25, 0.25, 0.25, 0.25});
}

TEST_F(Sampling, TopPKeepsTheSmallestSetThatReachesIt) {
  const std::vector<float> logits = LogsOf({0.1, 0.5, 0.15, 0.25});
  params.top_p = 0.7f;
  ExpectDrawsFrom(logits, row, {0, 0.5 / 0.75, 0, 0.25 / 0.75});
  params.top_p = 0.8f;
  ExpectDrawsFrom(logits, row, {0, 0.5 / 0.9, 0.15 / 0.9, 0.25 / 0.9});
  params.top_p = 1e-9f;
  ExpectDrawsFrom(logits, row, {0, 1, 0, 0});
  params.top_p = 0.6f;  // of four equals: three, the lowest ids
  ExpectDrawsFrom({0, 0, 0, 0}, row, {1 / 3., 1 / 3., 1 / 3., 0});
}

TEST_F(Sampling, MinPDropsWhatIsUnlikelyBesideTheBest) {
  const std::vector<float> logits = LogsOf({0.1, 0.6, 0.05, 0.25});
  params.min_p = 0.3f;
  ExpectDrawsFrom(logits, row, {0, 0.6 / 0.85, 0, 0.25 / 0.85});
  params.min_p = 1;
  ExpectDrawsFrom({2, 3, 3, 1}, row, {0, 0.5, 0.5, 0});
}

TEST_F(Sampling, TypicalPPrefersSurpriseNearTheEntropyOverTheLikeliest) {
  // H = 1.10 nats; surprise: 0.51, 1.39, 2.30, 3.00. Nearest first: id 3 (0.25), id 1 (0.6), id 0, id 2.
  const std::vector<float> logits = LogsOf({0.1, 0.6, 0.05, 0.25});
  params.typical_p = 0.2f;
  ExpectDrawsFrom(logits, row, {0, 0, 0, 1});
  params.typical_p = 0.5f;
  ExpectDrawsFrom(logits, row, {0, 0.6 / 0.85, 0, 0.25 / 0.85});
}

TEST_F(Sampling, EachFilterSeesTheRenormalisedRestOfThePreviousOne) {
  const std::vector<float> logits = LogsOf({0.4, 0.3, 0.2, 0.1});
  params.top_k = 2;  // leaves 4/7, 3/7
  params.top_p = 0.5f;
  ExpectDrawsFrom(logits, row, {1, 0, 0, 0});
  params.top_k = 3;  // leaves 4/9, 3/9, 2/9
  ExpectDrawsFrom(logits, row, {4 / 7., 3 / 7., 0, 0});
}

TEST_F(Sampling, RepetitionPenaltyCoversPromptAndOutputAndShrinksEitherSign) {
  params.repetition_penalty = 2;
  const std::vector<TokenCount> counts = {{0, true, 0}, {1, false, 3}, {3, false, 0}};
  row.counts = counts;
  params.temperature = 0;
  EXPECT_EQ(OnTwins({4, 3.5f, 2.5f, 2.4f}, row).token, 2);      // 2, 1.75, 2.5, 2.4
  EXPECT_EQ(OnTwins({-1, -1.5f, -2.2f, -1.9f}, row).token, 3);  // -2, -3, -2.2, -1.9
}

TEST_F(Sampling, PresenceAndFrequencyPenaltiesCoverTheOutputAlone) {
  params.presence_penalty = 1;
  params.frequency_penalty = 0.5f;
  const std::vector<TokenCount> counts = {{0, true, 0}, {1, true, 2}, {2, false, 1}};
  row.counts = counts;
  const std::vector<float> edited = {0, -2, -1.5f, 0};
  double total = 0;
  for (const float z : edited) total += std::exp(z);
  std::vector<double> expected;
  for (const float z : edited) expected.push_back(std::exp(z) / total);
  ExpectDrawsFrom({0, 0, 0, 0}, row, expected);
}

TEST_F(Sampling, BiasIsAddedBeforePenaltiesAndMinusInfinityForbids) {
  params.logit_bias = {{0, -kInfinity}, {2, 3}};
  params.repetition_penalty = 2;
  const std::vector<TokenCount> counts = {{2, true, 0}};
  row.counts = counts;
  params.temperature = 0;
  EXPECT_EQ(OnTwins({9, 1.9f, 1, 0}, row).token, 2);  // (1 + 3) / 2 = 2; the other order would give 3.5
  EXPECT_EQ(OnTwins({9, 2.1f, 1, 0}, row).token, 1);
  EXPECT_EQ(OnRef<float>({9, 2.1f, 1, 0}, row).token, 1);
}

TEST_F(Sampling, ForbiddenIdsAreNeverDrawn) {
  const std::vector<int32_t> forbidden = {1, 2};
  row.forbidden = forbidden;
  ExpectDrawsFrom({0, 50, 50, 0}, row, {0.5, 0, 0, 0.5});
}

TEST_F(Sampling, NonFiniteRowsFailAlone) {
  const std::vector<int32_t> forbidden = {1};
  for (const float temperature : {0.0f, 1.0f}) {
    params.temperature = temperature;
    for (const float bad : {kNan, kInfinity}) {
      row.forbidden = {};
      for (int repeat = 0; repeat < 2; ++repeat) {  // the second time the mask would hide it
        for (const SampleResult& r : {OnTwins({1, bad, 2}, row), OnRef<float>({1, bad, 2}, row)}) {
          EXPECT_FALSE(r.finite);
          EXPECT_EQ(r.token, -1);
        }
        row.forbidden = forbidden;
      }
    }
    row.forbidden = forbidden;
    for (const SampleResult& r : {OnTwins({-kInfinity, 3}, row), OnRef<double>({-kInfinity, 3}, row)}) {
      EXPECT_FALSE(r.finite) << "nothing is left";
    }
    EXPECT_EQ(OnTwins({-kInfinity, 3, -7}, row).token, 2);
  }
}

TEST_F(Sampling, LogprobsAreOfTheRawLogitsLargestFirst) {
  params.temperature = 0;
  params.logit_bias = {{3, 100}};
  row.top_logprobs = 3;
  const std::vector<float> logits = LogsOf({0.1, 0.4, 0.4, 0.1});
  for (const SampleResult& r : {OnTwins(logits, row), OnRef<float>(logits, row), OnRef<double>(logits, row)}) {
    EXPECT_EQ(r.token, 3);
    EXPECT_NEAR(r.logprob, std::log(0.1), 1e-6);
    ASSERT_EQ(r.top.size(), 3u);
    EXPECT_EQ(r.top[0].id, 1);
    EXPECT_EQ(r.top[1].id, 2);
    EXPECT_EQ(r.top[2].id, 0);
    EXPECT_NEAR(r.top[0].logprob, std::log(0.4), 1e-6);
  }
  row.top_logprobs = 0;
  EXPECT_NEAR(OnTwins(logits, row).logprob, std::log(0.1), 1e-6);
  EXPECT_TRUE(OnTwins(logits, row).top.empty());
}

TEST(Logprobs, NonFiniteRowsAreReported) {
  for (const std::vector<float>& z : {std::vector<float>{0, kNan}, {kInfinity, 0}, {-kInfinity, -kInfinity}}) {
    EXPECT_FALSE(LogprobsCpu(z.data(), 2, 0, 1).finite);
    EXPECT_FALSE(test::HasDevice() && test::LogprobsOnDevice({z.begin(), z.end()}, 0, 1).finite);
    EXPECT_FALSE(LogprobsRef(z.data(), 2, 0, 1).finite);
  }
}

}  // namespace
}  // namespace barista

// Drift against a replay by hand, and that a replay can be stopped.
#include "server/model/state_drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/loaded_model.h"

namespace barista {
namespace {

constexpr char kDirectory[] = "tests/golden/variants/macchiato-rglru";

// The state that the tokens leave behind, one decode step a token.
std::string StateOf(LoadedModel& m, absl::Span<const int32_t> tokens) {
  m.Run(tokens, std::vector<int32_t>(tokens.size(), 1), true);
  return m.pool->Download(1);
}

class StateDriftTest : public testing::Test {
 protected:
  void Load(const std::string& directory, std::optional<DType> weights = std::nullopt) {
    served_ = LoadedModel::Load(directory, {.kind = "cpu", .threads = 1}, {.weights = {.dtype = weights}});
    exact_ = LoadedModel::Load(directory, {.kind = "ref"}, {.weights = {.dtype = weights}});
    const auto tokens = GoldenFile(directory).Read<int32_t>("tokens");
    tokens_.assign(tokens.row(0).begin(), tokens.row(0).end());
  }
  const StateLayout& layout() const { return served_.model->state_layout(); }
  StateReplay Replay(double cpu_share = 1) {
    return StateReplay(*served_.checkpoint, served_.model->options(), layout(), cpu_share);
  }

  LoadedModel served_, exact_;
  std::vector<int32_t> tokens_;
};

// The ratio as it is defined, in plain loops over a replay of the whole model.
double RatioByHand(const StateLayout& a, const std::string& x, const StateLayout& b, const std::string& y) {
  const auto at = [](const StateLayout& layout, const std::string& state, int c, int64_t i) {
    const StateComponent& array = layout.components()[c];
    return LoadAsDouble(state.data() + array.offset, array.dtype, i);
  };
  double largest = 0;
  for (int c = 0; c < static_cast<int>(b.components().size()); ++c) {
    const StateComponent& array = b.components()[c];
    if (array.kind == StateKind::kLatentMax) continue;
    const bool sums = array.kind == StateKind::kLatentAlpha || array.kind == StateKind::kLatentVtilde;
    const int max = sums ? b.find(array.layer, StateKind::kLatentMax) : -1;
    double difference = 0, length = 0;
    for (int64_t i = 0; i < array.count; ++i) {
      double ours = at(a, x, c, i);
      if (sums) {
        const int64_t latent = i * b.components()[max].count / array.count;
        ours *= std::exp(at(a, x, max, latent) - at(b, y, max, latent));
      }
      difference += std::pow(ours - at(b, y, c, i), 2);
      length += std::pow(at(b, y, c, i), 2);
    }
    largest = std::max(largest, std::sqrt(difference / length));
  }
  return largest;
}

TEST_F(StateDriftTest, AgreesWithAReplayByHandOnEveryKindOfLayer) {
  for (const std::string& directory : GoldenDirectories()) {
    if (directory.find("cls") != std::string::npos) continue;  // classifiers keep no state
    Load(directory);
    const std::string served = StateOf(served_, tokens_);
    const double by_hand = RatioByHand(layout(), served, exact_.model->state_layout(), StateOf(exact_, tokens_));
    const absl::StatusOr<StateDrift> drift = Replay().Run(tokens_, served);
    ASSERT_TRUE(drift.ok()) << directory << drift.status();
    EXPECT_TRUE(drift->finite) << directory;
    // Products, and so rounding in double, are the same row by row; sums of norms differ in their order at most.
    EXPECT_NEAR(drift->ratio, by_hand, 1e-9 * by_hand + 1e-15) << directory;
    const bool extreme = directory.find("extreme") != std::string::npos;  // key logits reach 1,700: README of golden
    const bool rounded = directory.find("bf16") != std::string::npos;     // rings in bfloat16
    EXPECT_LT(drift->ratio, rounded ? 5e-2 : extreme ? 1e-3 : 1e-4) << directory;
    EXPECT_GT(drift->ratio, 0) << directory;
  }
}

TEST_F(StateDriftTest, WeightsAreRoundedAsTheServedOnesAre) {
  Load(kDirectory, DType::kBF16);
  const absl::StatusOr<StateDrift> drift = Replay().Run(tokens_, StateOf(served_, tokens_));
  ASSERT_TRUE(drift.ok());
  EXPECT_LT(drift->ratio, 5e-2);  // activations are rounded to bfloat16 at each product
}

TEST_F(StateDriftTest, AWrongValueIsFoundAndNamed) {
  Load(kDirectory);
  std::string served = StateOf(served_, tokens_);
  const StateComponent& h = layout().components()[layout().find(1, StateKind::kRglruH)];
  for (int64_t i = 0; i < h.count; ++i) {
    float x;
    std::memcpy(&x, &served[h.offset + i * 4], 4);
    x *= 1.5f;
    std::memcpy(&served[h.offset + i * 4], &x, 4);
  }
  const absl::StatusOr<StateDrift> drift = Replay().Run(tokens_, served);
  ASSERT_TRUE(drift.ok());
  EXPECT_NEAR(drift->ratio, 0.5, 1e-3);
  EXPECT_EQ(drift->layer, 1);
  EXPECT_EQ(drift->kind, StateKind::kRglruH);
}

TEST_F(StateDriftTest, AValueThatIsNotFiniteIsAnInfiniteRatio) {
  Load(kDirectory);
  std::string served = StateOf(served_, tokens_);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(&served[layout().components()[layout().find(2, StateKind::kLatentVtilde)].offset], &nan, 4);
  const absl::StatusOr<StateDrift> drift = Replay().Run(tokens_, served);
  ASSERT_TRUE(drift.ok());
  EXPECT_FALSE(drift->finite);
  EXPECT_TRUE(std::isinf(drift->ratio));
  EXPECT_EQ(drift->layer, 2);
}

TEST_F(StateDriftTest, OneTokenIsEnough) {
  Load(kDirectory);
  tokens_.resize(1);
  const absl::StatusOr<StateDrift> drift = Replay().Run(tokens_, StateOf(served_, tokens_));
  ASSERT_TRUE(drift.ok());
  EXPECT_LT(drift->ratio, 1e-5);
}

TEST_F(StateDriftTest, StopEndsIt) {
  Load(kDirectory);
  StateReplay replay = Replay(1e-6);  // which would rest for hours
  replay.Stop();
  EXPECT_TRUE(absl::IsCancelled(replay.Run(tokens_, StateOf(served_, tokens_)).status()));
}

}  // namespace
}  // namespace barista

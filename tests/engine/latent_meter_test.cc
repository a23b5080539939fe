// What the engine exports of the latents' use: sampled rows alone, and their plain mean while they are few.
#include "server/engine/latent_meter.h"

#include <gtest/gtest.h>

#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class LatentMeterTest : public EngineTest {
 protected:
  double Entropy(int layer) { return metrics_.latent_entropy.Add({{"layer", std::to_string(layer)}}).Value(); }
  double LocalMass(int layer) { return metrics_.local_mass.Add({{"layer", std::to_string(layer)}}).Value(); }
};

// One row a step and every step sampled: the mean over the call's tokens.
TEST_F(LatentMeterTest, ExportsTheMeanOverTheSampledTokens) {
  Start(2, {.latent_sample_steps = 1});
  const auto call = Submit(Generate({7}, 60));
  RunToIdle();
  std::vector<int32_t> tokens = {7};
  const std::vector<int32_t> drawn = Drain(*call).tokens[0];
  tokens.insert(tokens.end(), drawn.begin(), drawn.end() - 1);  // the last one is never fed
  EXPECT_EQ(metrics_.latent_rows_total.Value(), static_cast<double>(tokens.size()));

  LoadedModel m = LoadedModel::Load("tests/golden/variants/macchiato-rglru", {.kind = "cpu", .threads = 1});
  m.pool->Init(0);
  std::vector<LatentUse> sums(m.model->latent_layers().size());
  const int32_t row = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Segment one = {.rows = 1, .position = static_cast<int64_t>(i), .prefill = i == 0};
    m.model->Forward({&one, 1}, absl::MakeConstSpan(tokens).subspan(i, 1), *m.pool, {&row, 1});
    const std::vector<LatentUse> uses = m.model->SampledLatentUse();
    for (size_t l = 0; l < uses.size(); ++l) {
      sums[l].entropy += uses[l].entropy;
      sums[l].local_mass += uses[l].local_mass;
    }
  }
  for (size_t l = 0; l < sums.size(); ++l) {
    EXPECT_NEAR(Entropy(static_cast<int>(l)), sums[l].entropy / static_cast<double>(tokens.size()), 1e-9);
    EXPECT_NEAR(LocalMass(static_cast<int>(l)), sums[l].local_mass / static_cast<double>(tokens.size()), 1e-9);
  }
}

TEST_F(LatentMeterTest, SamplesAsOftenAsItIsTold) {
  for (const int64_t steps : {0, 1, 5}) {
    const double before = metrics_.latent_rows_total.Value();
    Start(2, {.latent_sample_steps = steps});
    Submit(Generate({7}, 50));
    RunToIdle();
    EXPECT_EQ(metrics_.latent_rows_total.Value() - before, steps == 0 ? 0 : 50 / steps) << steps;
  }
}

TEST_F(LatentMeterTest, LayersWithoutAWindowHaveNoLocalMass) {
  Start(2, {.latent_sample_steps = 1}, "cpu", "tests/golden/variants/latte-vapor");
  Submit(Generate({7}, 5));
  RunToIdle();
  for (const prometheus::MetricFamily& family : metrics_.registry()->Collect()) {
    if (family.name == "barista_local_mass") {
      EXPECT_TRUE(family.metric.empty());
    }
    if (family.name == "barista_latent_entropy") {
      EXPECT_EQ(family.metric.size(), 3u);
    }
  }
}

TEST(LatentMeterWeightTest, IsThePlainMeanAtFirstAndThenForgets) {
  double mean = 0;
  for (int64_t i = 0; i < LatentMeter::kMemory; ++i) mean += LatentMeter::Weight(i) * (static_cast<double>(i) - mean);
  EXPECT_NEAR(mean, static_cast<double>(LatentMeter::kMemory - 1) / 2, 1e-9);
  for (int64_t i = 0; i < 20 * LatentMeter::kMemory; ++i) mean += LatentMeter::Weight(1 << 20) * (5 - mean);
  EXPECT_NEAR(mean, 5, 1e-6);
}

}  // namespace
}  // namespace barista

// Which calls are replayed in float64, with which tokens, and that the exported ratio is that of a replay by hand.
#include "server/engine/drift_probe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "server/model/state_drift.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class DriftProbeTest : public EngineTest {
 protected:
  void StartProbed(EngineOptions options = {}, double sample_seconds = 100) {
    Start(4);  // for the layout and options that the replay needs
    replay_ = std::make_unique<StateReplay>(*m_.checkpoint, m_.model->options(), m_.model->state_layout(), 1);
    options.drift = {.replay = replay_.get(), .sample_seconds = sample_seconds};
    options.poison_freed_slots = true;
    options.tiers.format = &*format_;
    engine_ = std::make_unique<Engine>(*m_.model, *m_.pool, nullptr, metrics_, clock_, options);
  }
  void TearDown() override { engine_.reset(); }

  double replays() { return metrics_.state_drift_replays("finite").Value(); }
  // Of the state that prompt and drawn tokens leave behind, the last one apart.
  double RatioByHand(std::vector<int32_t> prompt, const std::vector<int32_t>& drawn) {
    const int32_t read = static_cast<int32_t>(prompt.size());
    prompt.insert(prompt.end(), drawn.begin(), drawn.end() - 1);
    std::vector<int32_t> pieces(drawn.size() - 1, 1);
    pieces.insert(pieces.begin(), read);
    LoadedModel served = LoadedModel::Load(kDirectory, {.kind = "cpu", .threads = 1}, {.rows_max = 512});
    LoadedModel exact = LoadedModel::Load(kDirectory, {.kind = "ref"}, {.rows_max = 512});
    served.Run(prompt, pieces, true);
    exact.Run(prompt, std::vector<int32_t>(prompt.size(), 1), true);
    return MeasureDrift(served.model->state_layout(), served.pool->Download(1), exact.model->state_layout(),
                        exact.pool->Download(1))
        .ratio;
  }

  static constexpr char kDirectory[] = "tests/golden/variants/macchiato-rglru";
  std::unique_ptr<StateReplay> replay_;
};

TEST_F(DriftProbeTest, TheRatioIsThatOfAReplayByHand) {
  StartProbed();
  const auto call = Submit(Generate(Prompt(100), 80));
  RunToIdle();
  EXPECT_EQ(replays(), 1);
  const double ratio = RatioByHand(Prompt(100), Drain(*call).tokens[0]);
  EXPECT_GT(ratio, 0);
  EXPECT_LT(ratio, 1e-5);
  EXPECT_NEAR(metrics_.state_drift_ratio.Value(), ratio, 1e-9 * ratio);
}

TEST_F(DriftProbeTest, DraftsThatWereRefusedAreNoPartOfThePast) {
  StartProbed();
  Request request = Generate({5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 6, 7}, 60);
  request.speculation_tokens = 4;
  const auto call = Submit(std::move(request));
  RunToIdle();
  EXPECT_EQ(replays(), 1);
  EXPECT_GT(metrics_.drafted_tokens_total.Value(), 0);
  EXPECT_LT(metrics_.state_drift_ratio.Value(), 1e-5);
}

TEST_F(DriftProbeTest, ALongCallIsLookedAtOnItsWay) {
  StartProbed();
  const auto call = Submit(Generate(Prompt(200), 2000));
  for (int i = 0; i < 600; ++i) {
    engine_->Step();
    Drain(*call);
  }
  EXPECT_FALSE(engine_->idle());
  EXPECT_EQ(replays(), 1);
  EXPECT_LT(metrics_.state_drift_ratio.Value(), 1e-5);
}

TEST_F(DriftProbeTest, ASessionsFirstCallIsSampledAndItsSecondNot) {
  StartProbed();
  ASSERT_TRUE(engine_->Post([](SessionTable& sessions) { ASSERT_TRUE(sessions.Create("/s").ok()); }).ok());
  Steps(1);
  for (int turn = 0; turn < 2; ++turn) {
    Request request = Generate({}, 20);
    request.session = "/s";
    request.prompt = request.opening = Prompt(30);
    Submit(std::move(request));
    RunToIdle();
    EXPECT_EQ(replays(), 1) << turn;
    clock_.Advance(Seconds(1000));
  }
  EXPECT_LT(metrics_.state_drift_ratio.Value(), 1e-5);
}

TEST_F(DriftProbeTest, APrefixFromTheCacheIsPartOfThePast) {
  StartProbed({.checkpoint_bytes = int64_t{64} << 20, .prefix_tokens_min = 64}, 100);
  for (int i = 1; i <= 3; ++i) {
    Submit(Generate(Prompt(300), 5));
    RunToIdle();
    EXPECT_EQ(replays(), i);
    EXPECT_LT(metrics_.state_drift_ratio.Value(), 1e-5);
    clock_.Advance(Seconds(1000));
  }
  EXPECT_GT(metrics_.cached_tokens_total.Value(), 0);
}

TEST_F(DriftProbeTest, OneCallInAWhile) {
  StartProbed({}, 100);
  for (int i = 0; i < 5; ++i) {
    Submit(Generate(Prompt(20), 5));
    RunToIdle();
    clock_.Advance(Seconds(60));
  }
  EXPECT_EQ(replays(), 3);  // at 0, 120 and 240 s
}

TEST_F(DriftProbeTest, CallsWhosePastIsNotAtHandOrTooLongAreNotSampled) {
  StartProbed();
  Submit(Generate(Prompt(480), 5));
  Request several = Generate(Prompt(20), 5);
  several.n = 2;
  Submit(std::move(several));
  RunToIdle();
  EXPECT_EQ(replays(), 0);
}

TEST_F(DriftProbeTest, ACancelledCallIsComparedAsFarAsItCame) {
  StartProbed();
  const auto call = Submit(Generate(Prompt(50), 500));
  Steps(20);
  call->Cancel();
  RunToIdle();
  EXPECT_EQ(replays(), 1);
  EXPECT_LT(metrics_.state_drift_ratio.Value(), 1e-5);
}

}  // namespace
}  // namespace barista

// The engine driven step by step on a tiny model: what callers are told, and who holds which slot when.
#include "server/engine/engine.h"

#include <gtest/gtest.h>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

TEST_F(EngineTest, AGreedyRequestEndsAtMaxTokensAndFreesItsSlot) {
  Start(2);
  auto call = Submit(Generate(Prompt(5), 7));
  RunToIdle();
  const Seen seen = Drain(*call);
  ASSERT_TRUE(seen.finished && seen.finished->status.ok());
  ASSERT_EQ(seen.tokens.size(), 1u);
  EXPECT_EQ(seen.tokens[0].size(), 7u);
  EXPECT_EQ(seen.finish[0], FinishReason::kLength);
  EXPECT_EQ(seen.finished->usage.prompt_tokens, 5);
  EXPECT_EQ(seen.finished->usage.generated_tokens, 7);
  EXPECT_EQ(used_slots(), 0);
}

TEST_F(EngineTest, OutputsAreTheSameAloneAndAmongOthersThatJoinAndLeave) {
  Start(8);
  Request probe = Generate(Prompt(150), 40);
  probe.sampling.temperature = 1;
  probe.sampling.seed = 77;
  auto alone = Submit(probe);
  RunToIdle();
  const Seen want = Drain(*alone);
  for (int others : {1, 7}) {
    std::vector<std::shared_ptr<Call>> calls;
    for (int i = 0; i < others; ++i) calls.push_back(Submit(Generate(Prompt(20 + 60 * i, i), 5 + 9 * i)));
    Steps(2);
    auto among = Submit(probe);
    for (int i = 0; i < 200 && !engine_->idle(); ++i) {
      engine_->Step();
      if (i % 10 == 3) calls.push_back(Submit(Generate(Prompt(30 + i, i), 4)));
      if (i % 25 == 7) calls[i % calls.size()]->Cancel();
    }
    RunToIdle();
    EXPECT_EQ(Drain(*among).tokens, want.tokens) << "among " << others;
  }
}

TEST_F(EngineTest, CancelFreesTheSlotWithinOneStep) {
  Start(1);
  auto call = Submit(Generate(Prompt(5), 1000));
  Steps(3);
  EXPECT_EQ(used_slots(), 1);
  call->Cancel();
  Steps(1);
  EXPECT_EQ(used_slots(), 0);
  EXPECT_EQ(Drain(*call).finished->status.code(), absl::StatusCode::kCancelled);
}

TEST_F(EngineTest, ADeadlineEndsAWaitingAndARunningCall) {
  Start(1);
  Request request = Generate(Prompt(5), 1000);
  request.deadline = clock_.Now() + std::chrono::seconds(5);
  auto running = Submit(request);
  auto waiting = Submit(request);
  Steps(3);
  clock_.Advance(Seconds(6));
  Steps(1);
  for (auto& call : {running, waiting}) {
    EXPECT_EQ(DetailOf(Drain(*call).finished->status).reason, ErrorReason::kDeadline);
  }
  EXPECT_EQ(used_slots(), 0);
}

TEST_F(EngineTest, AFullQueueRefusesAtOnceAndSaysWhenToRetry) {
  Start(1, {.queue_requests_max = 2});
  auto first = Submit(Generate(Prompt(5), 1000));
  Steps(1);
  auto second = Submit(Generate(Prompt(5), 1)), third = Submit(Generate(Prompt(5), 1));
  const auto fourth = engine_->Submit(Generate(Prompt(5), 1), [] {});
  EXPECT_EQ(DetailOf(fourth.status()).reason, ErrorReason::kQueueFull);
  EXPECT_GT(DetailOf(fourth.status()).retry_after_seconds, 0);
  first->Cancel();
  RunToIdle();
  EXPECT_TRUE(Drain(*second).finished->status.ok());
  EXPECT_TRUE(Drain(*third).finished->status.ok());
}

TEST_F(EngineTest, MoreChoicesThanSlotsAreRefused) {
  Start(2);
  Request request = Generate(Prompt(5), 1);
  request.n = 3;
  EXPECT_EQ(DetailOf(engine_->Submit(request, [] {}).status()).reason, ErrorReason::kSessionsMax);
}

TEST_F(EngineTest, ASlowReaderPausesOnlyItself) {
  Start(2, {.outbox_events_max = 32});
  auto slow = Submit(Generate(Prompt(5), 500));
  auto quick = Submit(Generate(Prompt(6), 200));
  size_t quick_tokens = 0;
  for (int i = 0; i < 260; ++i) {
    engine_->Step();
    for (const auto& tokens : Drain(*quick).tokens) quick_tokens += tokens.size();
  }
  EXPECT_EQ(quick_tokens, 200u);
  const Seen part = Drain(*slow);
  EXPECT_FALSE(part.finished);
  EXPECT_LE(part.tokens[0].size(), 32u);
  size_t total = part.tokens[0].size();
  for (int i = 0; i < 600; ++i) {
    engine_->Step();
    for (const auto& tokens : Drain(*slow).tokens) total += tokens.size();
  }
  EXPECT_EQ(total, 500u);  // nothing was lost while it paused
}

TEST_F(EngineTest, ChoicesShareThePromptAndDifferBySeedCounter) {
  Start(4);
  Request request = Generate(Prompt(70), 20);
  request.n = 3;
  request.sampling.temperature = 1;
  request.sampling.seed = 5;
  auto call = Submit(request);
  RunToIdle();
  const Seen seen = Drain(*call);
  ASSERT_EQ(seen.tokens.size(), 3u);
  EXPECT_NE(seen.tokens[0], seen.tokens[1]);
  EXPECT_NE(seen.tokens[1], seen.tokens[2]);
  EXPECT_EQ(metrics_.prompt_tokens_total.Value(), 70);
  request.n = 1;
  auto single = Submit(request);
  RunToIdle();
  EXPECT_EQ(Drain(*single).tokens[0], seen.tokens[0]);  // choice 0 is what n = 1 gives
  EXPECT_EQ(used_slots(), 0);
}

TEST_F(EngineTest, ScoresAreThoseOfTheWholePromptWhateverTheCuts) {
  Start(2, {}, "ref");
  Request request;
  request.kind = RequestKind::kScore;
  request.prompt = Prompt(300);
  request.prompt_logprobs = 3;
  auto call = Submit(request);
  RunToIdle();
  const Seen seen = Drain(*call);
  ASSERT_EQ(seen.prompt_logprobs.size(), 299u);
  const auto logits = m_.Run(absl::MakeConstSpan(request.prompt).first(128), {128}, false);
  for (int i : {0, 5, 126}) {
    double largest = -1e30, sum = 0;
    for (double x : logits[i]) largest = std::max(largest, x);
    for (double x : logits[i]) sum += std::exp(x - largest);
    const double want = logits[i][request.prompt[i + 1]] - largest - std::log(sum);
    EXPECT_NEAR(seen.prompt_logprobs[i].logprob, want, 1e-5);
    EXPECT_EQ(seen.prompt_logprobs[i].top.size(), 3u);
  }
}

TEST_F(EngineTest, StopTokensEndAChoiceButNotBeforeMinTokens) {
  Start(1);
  auto free_run = Submit(Generate(Prompt(9), 12));
  RunToIdle();
  const std::vector<int32_t> free_tokens = Drain(*free_run).tokens[0];
  Request request = Generate(Prompt(9), 12);
  request.stop.stop_token_ids = {free_tokens[4]};
  const size_t at = std::find(free_tokens.begin(), free_tokens.end(), free_tokens[4]) - free_tokens.begin();
  auto stopped = Submit(request);
  RunToIdle();
  const Seen seen = Drain(*stopped);
  EXPECT_EQ(seen.tokens[0].size(), at + 1);
  EXPECT_EQ(seen.finish[0], FinishReason::kStopToken);
  request.stop.min_tokens = 8;
  auto later = Submit(request);
  RunToIdle();
  EXPECT_GE(Drain(*later).tokens[0].size(), 9u);
}

TEST_F(EngineTest, DrainRefusesNewCallsAndLetsOldOnesEnd) {
  Start(1);
  auto call = Submit(Generate(Prompt(5), 10));
  engine_->Drain();
  EXPECT_EQ(DetailOf(engine_->Submit(Generate(Prompt(5), 1), [] {}).status()).reason, ErrorReason::kDraining);
  RunToIdle();
  EXPECT_TRUE(Drain(*call).finished->status.ok());
}

TEST_F(EngineTest, StopEndsEveryCall) {
  Start(1);
  engine_->Start();
  auto running = Submit(Generate(Prompt(5), 1 << 20)), waiting = Submit(Generate(Prompt(5), 5));
  engine_->Stop();
  for (auto& call : {running, waiting}) {
    const Seen seen = Drain(*call);
    ASSERT_TRUE(seen.finished);
    EXPECT_EQ(seen.finished->status.code(), absl::StatusCode::kUnavailable);
  }
}

TEST_F(EngineTest, RandomCancelsLeaveNoSlotBehind) {
  Start(5);
  std::mt19937 rng(3);
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 300; ++i) {
    Request request = Generate(Prompt(1 + rng() % 200, i), 1 + rng() % 30);
    request.n = 1 + rng() % 3;
    calls.push_back(Submit(request));
    Steps(static_cast<int>(rng() % 4));
    calls[rng() % calls.size()]->Cancel();
  }
  RunToIdle();
  EXPECT_EQ(used_slots(), 0);
  for (auto& call : calls) EXPECT_TRUE(Drain(*call).finished);
}

}  // namespace
}  // namespace barista

// An engine whose device hangs in a step, and is given up by another thread.
#include "absl/synchronization/notification.h"
#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/forwarding_backend.h"

namespace barista {
namespace {

// Hangs in its third Sample until it is told to go on.
class HangingBackend : public test::ForwardingBackend {
 public:
  HangingBackend(std::unique_ptr<Backend> inner, bool queues)
      : ForwardingBackend(*inner), owned_(std::move(inner)), queues_(queues) {}

  bool queues() const override { return queues_; }
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) override {
    if (++samples_ == 3) {
      hangs.Notify();
      go_on.WaitForNotification();
    }
    ForwardingBackend::Sample(logits, rows, results);
  }

  absl::Notification hangs, go_on;

 private:
  std::unique_ptr<Backend> owned_;
  const bool queues_;
  int samples_ = 0;
};

class HangTest : public EngineTest, public testing::WithParamInterface<bool> {
 protected:
  std::unique_ptr<Backend> BackendOf(const std::string& kind) override {
    auto backend = std::make_unique<HangingBackend>(EngineTest::BackendOf(kind), GetParam());
    backend_ = backend.get();
    return backend;
  }
  HangingBackend* backend_ = nullptr;
};

TEST_P(HangTest, AnotherThreadEndsTheCallsAndTheEnginesOwnIsNotHeardAnyMore) {
  Health health;
  StepClock& clock = health.AddEngine();
  Start(1, {.step_clock = &clock});
  std::vector<std::shared_ptr<Call>> calls = {Submit(Generate({1, 2, 3}, 100)), Submit(Generate({4}, 100))};
  EXPECT_EQ(clock.began(), TimePoint());
  engine_->Start();
  backend_->hangs.WaitForNotification();
  EXPECT_EQ(clock.began(), clock_.Now());
  calls.push_back(Submit(Generate({5}, 9)));  // which the engine's thread has not seen

  engine_->Abandon("it hangs");
  EXPECT_FALSE(engine_->Submit(Generate({1}, 1), [] {}).ok());
  backend_->go_on.Notify();
  engine_->Stop();
  for (const auto& call : calls) {
    const Seen seen = Drain(*call);  // no event after Finished
    ASSERT_TRUE(seen.finished);
    EXPECT_EQ(DetailOf(seen.finished->status).reason, ErrorReason::kEngineFailed) << seen.finished->status;
    EXPECT_EQ(seen.finished->status.message(), "it hangs");
    EXPECT_EQ(seen.tokens.empty() ? 0 : seen.tokens[0].size(),
              call == calls[0] ? 2 : 0);  // what it had been told stays
  }
  EXPECT_EQ(clock.began(), TimePoint());
}

INSTANTIATE_TEST_SUITE_P(WhetherOrNotItQueues, HangTest, testing::Bool());

}  // namespace
}  // namespace barista

// One of several devices fails: what that ends, and what it leaves.
#include <map>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "tests/engine/engines_fixture.h"
#include "tests/engine/memory_store.h"
#include "tests/support/forwarding_backend.h"

namespace barista {
namespace {

// One whose device fails when told to.
class FailingBackend final : public test::ForwardingBackend {
 public:
  explicit FailingBackend(std::unique_ptr<Backend> backend)
      : test::ForwardingBackend(*backend), owned_(std::move(backend)) {}
  absl::Status status() const override { return failed ? absl::InternalError("it burns") : absl::OkStatus(); }
  bool failed = false;

 private:
  std::unique_ptr<Backend> owned_;
};

class FailingEnginesTest : public EnginesTest {
 protected:
  std::unique_ptr<Backend> BackendOf(const std::string& kind) override {
    auto backend = std::make_unique<FailingBackend>(EngineTest::BackendOf(kind));
    backends_.push_back(backend.get());
    return backend;
  }
  std::vector<FailingBackend*> backends_;
  MemoryStore store_;
};

TEST_F(FailingEnginesTest, WhereOneDeviceFailsTheSessionsOfTheOthersAreKept) {
  EngineOptions options;
  options.tiers = {.directory_sessions = 8, .directory = &store_};
  int failures = 0;
  options.on_device_failure = [&](const absl::Status&) { ++failures; };
  StartSeveral({4, 4}, options);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());
    ASSERT_TRUE(Say(absl::StrCat("a@", i), Prompt(9, i), 3).finished->status.ok());
  }
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 2; ++i) calls.push_back(Send(Generate(Prompt(4, i), 100000)));
  StepAll(3);
  backends_[0]->failed = true;
  StepAll(2);
  EXPECT_EQ(failures, 1);
  EXPECT_TRUE(owned_[0]->failed());
  for (const auto& engine : owned_) engine->Start();
  engines_->Drain();
  engines_->CutOff();
  EXPECT_EQ(engines_->sessions(), 3);
  EXPECT_EQ(engines_->ParkSessions(std::chrono::steady_clock::now() + std::chrono::minutes(1), SteadyClock()), 0);
  engines_->Stop();
  std::map<ErrorReason, int> reasons;
  for (const auto& call : calls) ++reasons[DetailOf(Drain(*call).finished->status).reason];
  EXPECT_EQ(reasons[ErrorReason::kEngineFailed], 1);
  EXPECT_EQ(reasons[ErrorReason::kDraining], 1);
  EXPECT_EQ(store_.states.size(), 3);
}

}  // namespace
}  // namespace barista

// What a failed engine tells a call on a session: how much of its past a snapshot has.
#include "server/engine/durable.h"

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/forwarding_backend.h"

namespace barista {
namespace {

TEST(DurablePastTest, TheLongestSnapshotThatIsThereCounts) {
  KeptSnapshots kept;
  DurablePast past;
  EXPECT_EQ(past.tokens(), 0);
  past.Add(kept.Written("short", 10));
  past.Add(kept.Written("long", 20));
  past.Add(kept.Written("late", 15));
  EXPECT_EQ(past.tokens(), 20);
  kept.Gone("long");
  EXPECT_EQ(past.tokens(), 15);
  DurablePast other;
  other.Add(kept.Written("late", 99));  // in its place
  EXPECT_EQ(past.tokens(), 10);
  EXPECT_EQ(other.tokens(), 99);
  kept.Gone("short");
  kept.Gone("never");
  EXPECT_EQ(past.tokens(), 0);
}

TEST(DurablePastTest, ARestoredSessionSharesTheSnapshot) {
  KeptSnapshots kept;
  DurablePast past, restored, elsewhere;
  past.Add(kept.Written("a", 10));
  restored.Add(kept.Read("a", 10));
  EXPECT_EQ(restored.tokens(), 10);
  elsewhere.Add(kept.Read("a", 12));  // another server has replaced it meanwhile
  EXPECT_EQ(elsewhere.tokens(), 12);
  EXPECT_EQ(past.tokens(), 0);
  kept.Gone("a");
  EXPECT_EQ(elsewhere.tokens(), 0);
}

TEST(DurablePastTest, ACutForgetsWhatIsLonger) {
  KeptSnapshots kept;
  DurablePast past;
  for (const int64_t tokens : {10, 20, 30}) past.Add(kept.Written(std::to_string(tokens), tokens));
  EXPECT_EQ(past.Until(20)->tokens(), 20);
  EXPECT_EQ(past.Until(19)->tokens(), 10);
  EXPECT_EQ(past.Until(0)->tokens(), 0);
  EXPECT_EQ(past.tokens(), 30);
}

class BreakingBackend : public test::ForwardingBackend {
 public:
  explicit BreakingBackend(std::unique_ptr<Backend> inner) : ForwardingBackend(*inner), owned_(std::move(inner)) {}
  absl::Status status() const override { return broken ? absl::InternalError("it broke") : absl::OkStatus(); }

  bool broken = false;

 private:
  const std::unique_ptr<Backend> owned_;
};

class DurableTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.checkpoint_bytes = int64_t{16} << 20;
    Start(4, options);
    Post([](SessionTable& sessions) { EXPECT_TRUE(sessions.Create("a").ok()); });
    Finish(On("a", 10));
  }
  std::unique_ptr<Backend> BackendOf(const std::string& kind) override {
    auto backend = std::make_unique<BreakingBackend>(EngineTest::BackendOf(kind));
    backend_ = backend.get();
    return backend;
  }
  void Post(std::function<void(SessionTable&)> work) {
    ASSERT_TRUE(engine_->Post(std::move(work)).ok());
    Steps(1);
  }
  void Snapshot(const std::string& name) {
    Post([&](SessionTable& sessions) {
      Session& session = **sessions.Find("a");
      session.durable->Add(kept_.Written(name, session.tokens()));
    });
  }
  static Request On(const std::string& session, int32_t max_tokens) {
    Request request = Generate({1, 2, 3}, max_tokens);
    request.session = session;
    request.opening = request.prompt;
    return request;
  }
  void Rewind(int64_t tokens) {
    Request request;
    request.kind = RequestKind::kRewind;
    request.session = "a";
    request.rewind.tokens = tokens;
    Finish(request);
  }
  void Finish(Request request) {
    auto call = Submit(std::move(request));
    RunToIdle();
    EXPECT_TRUE(Drain(*call).finished->status.ok());
  }
  static int64_t DurableOf(Call& call) {
    const ErrorDetail detail = DetailOf(Drain(call).finished->status);
    EXPECT_EQ(detail.reason, ErrorReason::kEngineFailed);
    return detail.durable_position;
  }
  // What a call on the session is told when the device fails.
  int64_t DurableNow() {
    auto call = Submit(On("a", 100));
    Steps(2);
    backend_->broken = true;
    Steps(1);
    return DurableOf(*call);
  }

  BreakingBackend* backend_ = nullptr;
  KeptSnapshots kept_;
};

TEST_F(DurableTest, AFailedDeviceTellsEachCallWhatASnapshotHas) {
  Snapshot("at 13");
  Finish(On("a", 5));
  auto on_session = Submit(On("a", 100)), other = Submit(Generate({1, 2, 3}, 100));
  Steps(2);
  backend_->broken = true;
  Steps(2);
  EXPECT_EQ(DurableOf(*on_session), 13);
  EXPECT_EQ(DurableOf(*other), 0);
}

TEST_F(DurableTest, SoDoesOneThatHangs) {
  Snapshot("at 13");
  auto on_session = Submit(On("a", 100)), other = Submit(Generate({1, 2, 3}, 100)), waiting = Submit(On("a", 1));
  Steps(2);
  EXPECT_EQ(DetailOf(Drain(*waiting).finished->status).reason, ErrorReason::kSessionBusy);
  engine_->Abandon("it hangs");
  EXPECT_EQ(DurableOf(*on_session), 13);
  EXPECT_EQ(DurableOf(*other), 0);
}

TEST_F(DurableTest, ASnapshotOfARunningSessionCounts) {
  auto call = Submit(On("a", 100));
  Steps(3);
  Snapshot("while it runs");
  backend_->broken = true;
  Steps(1);
  const Seen seen = Drain(*call);
  const int64_t durable = DetailOf(seen.finished->status).durable_position;
  EXPECT_GT(durable, 13);
  EXPECT_LE(durable, seen.finished->session_tokens);
}

TEST_F(DurableTest, NothingIsDurableWithoutASnapshot) { EXPECT_EQ(DurableNow(), 0); }

TEST_F(DurableTest, ARewindLeavesWhatLiesBeforeIt) {
  Snapshot("at 13");
  Finish(On("a", 5));
  Snapshot("at 21");
  Rewind(4);
  EXPECT_EQ(DurableNow(), 13);
}

TEST_F(DurableTest, ASnapshotThatIsWrittenDuringARewindIsOfThePastBefore) {
  std::shared_ptr<DurablePast> then;
  Post([&](SessionTable& sessions) { then = (*sessions.Find("a"))->durable; });
  Rewind(4);
  then->Add(kept_.Written("at 13", 13));
  Finish(On("a", 20));
  EXPECT_EQ(DurableNow(), 0);
}

TEST_F(DurableTest, AReplacedSessionHasAnotherPast) {
  Snapshot("at 13");
  Post([](SessionTable& sessions) { EXPECT_TRUE(sessions.Replace("a", *sessions.Export("a")).ok()); });
  EXPECT_EQ(DurableNow(), 0);
}

}  // namespace
}  // namespace barista

// Rewinds: a session that was put back goes on as one that never had what came after.
#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class RewindTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.checkpoint_bytes = int64_t{64} << 20;
    options.outbox_events_max = 4096;
    Start(6, options);
  }
  void Create(const std::string& id) {
    ASSERT_TRUE(engine_->Post([id](SessionTable& s) { EXPECT_TRUE(s.Create(id).ok()); }).ok());
    Steps(1);
  }
  Finished Run(Request request) {
    auto call = Submit(std::move(request));
    RunToIdle();
    last_ = Drain(*call);
    return *last_.finished;
  }
  Finished Append(const std::string& id, const std::vector<int32_t>& tokens, const std::string& mark = "") {
    Request request = Generate(tokens, 1);
    request.kind = RequestKind::kAppend;
    request.session = id;
    request.opening = tokens;
    request.mark = mark;
    auto call = Submit(std::move(request));
    call->Feed({}, true);
    RunToIdle();
    return *Drain(*call).finished;
  }
  Finished Draw(const std::string& id, int32_t count, const std::string& mark = "") {
    Request request = Generate({}, count);
    request.session = id;
    request.mark = mark;
    request.sampling = {.temperature = 0.9f, .seed = 3};
    request.sampling.repetition_penalty = 1.2f;
    request.sampling.frequency_penalty = 0.3f;
    return Run(std::move(request));
  }
  Finished Rewind(const std::string& id, const RewindTarget& to) {
    Request request;
    request.kind = RequestKind::kRewind;
    request.session = id;
    request.rewind = to;
    return Run(std::move(request));
  }
  // Everything that the session is, but its past.
  std::string Bytes(const std::string& id) {
    std::string bytes;
    EXPECT_TRUE(engine_->Post([&](SessionTable& s) { bytes = format_->Write(**s.Export(id), {}); }).ok());
    Steps(1);
    return bytes;
  }
  Seen last_;
};

TEST_F(RewindTest, ASessionThatWasPutBackGoesOnAsOneThatNeverWent) {
  std::mt19937 rng(7);
  for (int round = 0; round < 12; ++round) {
    const std::string a = absl::StrCat("a", round), b = absl::StrCat("b", round);
    Create(a);
    Create(b);
    struct Step {
      std::vector<int32_t> append;
      int32_t draw;
    };
    std::vector<Step> steps;
    int64_t position = 0;
    for (int i = 0; i < 4; ++i) {
      Step step = {.append = {}, .draw = 0};
      if (i == 0 || rng() % 2 == 0) {
        step.append = Prompt(1 + static_cast<int32_t>(rng() % (i == 1 ? 700 : 90)), static_cast<int32_t>(rng()));
        ASSERT_TRUE(Append(a, step.append).status.ok());
      } else {
        step.draw = 1 + static_cast<int32_t>(rng() % 90);
        ASSERT_TRUE(Draw(a, step.draw).status.ok());
      }
      position += static_cast<int64_t>(step.append.size()) + step.draw;
      steps.push_back(std::move(step));
    }
    const int64_t back = 1 + static_cast<int64_t>(rng() % std::min<int64_t>(position - 1, 256));
    const Finished finished = Rewind(a, {.tokens = back});
    ASSERT_TRUE(finished.status.ok()) << finished.status << " at " << position << " back " << back;
    EXPECT_EQ(finished.session_tokens, position - back);
    // The other one: the same calls, the last one ended early.
    int64_t left = position - back;
    for (const Step& step : steps) {
      if (left == 0) break;
      if (!step.append.empty()) {
        const int64_t count = std::min<int64_t>(left, static_cast<int64_t>(step.append.size()));
        ASSERT_TRUE(Append(b, {step.append.begin(), step.append.begin() + count}).status.ok());
        left -= count;
      } else {
        const int64_t count = std::min<int64_t>(left, step.draw);
        ASSERT_TRUE(Draw(b, static_cast<int32_t>(count)).status.ok());
        left -= count;
      }
    }
    EXPECT_TRUE(Bytes(a) == Bytes(b)) << "round " << round << " position " << position << " back " << back;
    ASSERT_TRUE(Draw(a, 20).status.ok());
    const std::vector<std::vector<int32_t>> tokens = last_.tokens;
    ASSERT_TRUE(Draw(b, 20).status.ok());
    EXPECT_EQ(last_.tokens, tokens);
    ASSERT_TRUE(engine_
                    ->Post([&](SessionTable& s) {
                      EXPECT_TRUE(s.Delete(a).ok());
                      EXPECT_TRUE(s.Delete(b).ok());
                    })
                    .ok());
    Steps(1);
  }
}

TEST_F(RewindTest, MarksAndTurnsComeBackExactly) {
  Create("a");
  ASSERT_TRUE(Append("a", Prompt(100), "start").status.ok());
  const std::string start = Bytes("a");
  ASSERT_TRUE(Draw("a", 300).status.ok());
  const std::string drawn = Bytes("a");
  EXPECT_EQ(Append("a", Prompt(50), "late").status, absl::OkStatus());
  EXPECT_EQ(Rewind("a", {.turns = 1}).session_tokens, 400);
  EXPECT_TRUE(Bytes("a") == drawn);
  EXPECT_EQ(DetailOf(Rewind("a", {.mark = "late"}).status).reason, ErrorReason::kMarkNotFound);
  EXPECT_EQ(Rewind("a", {.mark = "start"}).session_tokens, 100);
  EXPECT_TRUE(Bytes("a") == start);
  EXPECT_EQ(Rewind("a", {.turns = 1}).session_tokens, 0);
  EXPECT_EQ(DetailOf(Rewind("a", {.turns = 1}).status).reason, ErrorReason::kRewindOutOfRange);
  EXPECT_EQ(DetailOf(Rewind("a", {.tokens = 1}).status).reason, ErrorReason::kRewindOutOfRange);
}

// Whatever was read and drawn before, each of the last 256 positions is within reach.
TEST_F(RewindTest, TheLastPositionsAreAlwaysWithinReach) {
  Create("a");
  ASSERT_TRUE(Append("a", Prompt(1700)).status.ok());
  for (int i = 0; i < 8; ++i) {
    const Finished finished = Rewind("a", {.tokens = 256});
    ASSERT_TRUE(finished.status.ok()) << finished.status;
    EXPECT_LE(finished.replayed_tokens, 256 + 512);
    ASSERT_TRUE(Draw("a", 256 + 61 * i).status.ok());
  }
}

TEST_F(RewindTest, StatesThatGaveWayAreToldAsSuch) {
  EngineOptions options;
  options.checkpoint_bytes = 1;  // none fits
  Start(2, options);
  Create("a");
  ASSERT_TRUE(Append("a", Prompt(400), "m").status.ok());
  ASSERT_TRUE(Draw("a", 5).status.ok());
  EXPECT_EQ(DetailOf(Rewind("a", {.mark = "m"}).status).reason, ErrorReason::kMarkNotFound);
  EXPECT_EQ(DetailOf(Rewind("a", {.turns = 1}).status).reason, ErrorReason::kRewindOutOfRange);
  EXPECT_TRUE(Draw("a", 5).status.ok());
}

}  // namespace
}  // namespace barista

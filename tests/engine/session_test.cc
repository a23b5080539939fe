// Sessions in the engine: what outlives a call, who may use it, and that cutting calls and forking change no token.
#include "server/engine/session.h"

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class SessionTest : public EngineTest {
 protected:
  // Runs `work` as a posted operation, between two steps.
  template <class Work>
  void Post(Work work) {
    bool ran = false;
    ASSERT_TRUE(engine_
                    ->Post([&](SessionTable& sessions) {
                      work(sessions);
                      ran = true;
                    })
                    .ok());
    engine_->Step();
    ASSERT_TRUE(ran);
  }
  void Create(const std::string& id) {
    Post([&](SessionTable& s) { EXPECT_TRUE(s.Create(id).ok()); });
  }
  void Fork(const std::string& id, const std::vector<std::string>& children) {
    Post([&](SessionTable& s) { EXPECT_TRUE(s.Fork(id, children, true).ok()); });
  }
  int64_t Position(const std::string& id) {
    int64_t position = -1;
    Post([&](SessionTable& s) { position = (*s.Find(id))->sequence().tokens(); });
    return position;
  }

  static Request On(const std::string& session, std::vector<int32_t> prompt, int32_t max_tokens) {
    Request request = Generate(std::move(prompt), max_tokens);
    request.session = session;
    request.opening = request.prompt;
    return request;
  }
  // Drawn with a seed and all penalties, so that counts and positions matter.
  static Request Drawn(Request request) {
    request.sampling.temperature = 0.9f;
    request.sampling.seed = 5;
    request.sampling.repetition_penalty = 1.3f;
    request.sampling.presence_penalty = 0.2f;
    request.sampling.frequency_penalty = 0.1f;
    request.logprobs = 0;
    return request;
  }
  Seen Run(Request request) {
    auto call = Submit(std::move(request));
    for (int i = 0; i < 10000; ++i) {
      engine_->Step();
      if (engine_->idle()) break;
    }
    return Drain(*call);
  }
  static ErrorReason ReasonOf(const Seen& seen) { return DetailOf(seen.finished->status).reason; }
};

TEST_F(SessionTest, AnEmptySessionAnswersAsNoSessionDoes) {
  Start(3);
  Create("a");
  const Seen want = Run(Drawn(Generate(Prompt(100), 20)));
  const Seen seen = Run(Drawn(On("a", Prompt(100), 20)));
  EXPECT_EQ(seen.tokens, want.tokens);
  EXPECT_EQ(seen.finished->session_tokens, 120);
}

TEST_F(SessionTest, CutCallsDrawWhatOneDraws) {
  Start(3);
  const Seen want = Run(Drawn(Generate(Prompt(70), 40)));
  Create("a");
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  for (const int32_t count : {1, 12, 2, 25}) {
    const Seen seen = Run(Drawn(On("a", tokens.empty() ? Prompt(70) : std::vector<int32_t>(), count)));
    tokens.insert(tokens.end(), seen.tokens[0].begin(), seen.tokens[0].end());
    for (const SampleResult& r : seen.logprobs) logprobs.push_back(r.logprob);
  }
  EXPECT_EQ(tokens, want.tokens[0]);
  for (size_t i = 0; i < logprobs.size(); ++i) EXPECT_EQ(logprobs[i], want.logprobs[i].logprob) << i;
  EXPECT_EQ(Position("a"), 110);
}

TEST_F(SessionTest, AForkOfARunningSessionGoesOnAsItsParent) {
  Start(4);
  Create("a");
  auto parent = Submit(Drawn(On("a", Prompt(10), 30)));
  Steps(9);
  Fork("a", {"b", "c"});
  RunToIdle();
  const std::vector<int32_t> tokens = Drain(*parent).tokens[0];
  for (const char* child : {"b", "c"}) {
    const int64_t drawn = Position(child) - 10;
    ASSERT_GT(drawn, 0);
    ASSERT_LT(drawn, 30);
    const Seen seen = Run(Drawn(On(child, {}, static_cast<int32_t>(30 - drawn))));
    EXPECT_EQ(seen.tokens[0], std::vector<int32_t>(tokens.begin() + drawn, tokens.end()));
  }
}

TEST_F(SessionTest, AForkWhileThePromptIsReadTakesWhatIsRead) {
  Start(3);
  Create("a");
  const std::vector<int32_t> prompt = Prompt(300);
  auto parent = Submit(Drawn(On("a", prompt, 8)));
  Steps(1);
  Fork("a", {"b"});
  RunToIdle();
  const int64_t read = Position("b");
  ASSERT_GT(read, 0);
  ASSERT_LT(read, 300);
  Request rest = Drawn(On("b", {prompt.begin() + read, prompt.end()}, 8));
  rest.sampling.repetition_penalty = 1;  // the parent counts its prompt when all of it is read
  Request again = Drawn(Generate(prompt, 8));
  again.sampling.repetition_penalty = 1;
  EXPECT_EQ(Run(rest).tokens, Run(again).tokens);
  EXPECT_TRUE(Drain(*parent).finished->status.ok());
}

// A session whose prompt was cut short has no drawn token: the next call draws from the state as it stands.
TEST_F(SessionTest, ACancelledCallLeavesTheSessionAfterAWholeStep) {
  Start(2);
  Create("a");
  const std::vector<int32_t> prompt = Prompt(300);
  auto call = Submit(On("a", prompt, 5));
  Steps(1);
  call->Cancel();
  RunToIdle();
  EXPECT_EQ(Drain(*call).finished->status.code(), absl::StatusCode::kCancelled);
  const int64_t read = Position("a");
  ASSERT_GT(read, 0);
  ASSERT_LT(read, 300);
  const Seen want = Run(Generate({prompt.begin(), prompt.begin() + read}, 5));
  EXPECT_EQ(Run(On("a", {}, 5)).tokens, want.tokens);
  EXPECT_EQ(used_slots(), 1);
}

TEST_F(SessionTest, OneCallAtATime) {
  Start(3);
  Create("a");
  auto first = Submit(On("a", Prompt(5), 50));
  Steps(2);
  auto second = Submit(On("a", Prompt(5), 5));
  Steps(1);
  EXPECT_EQ(ReasonOf(Drain(*second)), ErrorReason::kSessionBusy);
  Post([](SessionTable& s) {
    EXPECT_EQ(DetailOf(s.Delete("a")).reason, ErrorReason::kSessionBusy);
    EXPECT_EQ(DetailOf(s.Delete("b")).reason, ErrorReason::kSessionNotFound);
    EXPECT_EQ(DetailOf(s.Create("a").status()).reason, ErrorReason::kSessionExists);
  });
  RunToIdle();
  EXPECT_TRUE(Drain(*first).finished->status.ok());
  Post([](SessionTable& s) { EXPECT_TRUE(s.Delete("a").ok()); });
  EXPECT_EQ(used_slots(), 0);
  EXPECT_EQ(ReasonOf(Run(On("a", Prompt(5), 5))), ErrorReason::kSessionNotFound);
}

TEST_F(SessionTest, AnEmptySessionNeedsAPrompt) {
  Start(1);
  Create("a");
  EXPECT_EQ(ReasonOf(Run(On("a", {}, 5))), ErrorReason::kInvalidField);
  EXPECT_EQ(Position("a"), 0);
}

TEST_F(SessionTest, ForksAreAllOrNone) {
  Start(4);
  Create("@a");
  Create("@b");
  Post([](SessionTable& s) {
    EXPECT_EQ(DetailOf(s.Fork("@a", {"@c", "@d", "@e"}, true).status()).reason, ErrorReason::kSessionsMax);
    EXPECT_EQ(DetailOf(s.Fork("@a", {"@c", "@b"}, true).status()).reason, ErrorReason::kSessionExists);
    EXPECT_EQ(s.size(), 2);
    EXPECT_TRUE(s.Fork("@a", {"@c", "@d"}, true).ok());
    EXPECT_EQ(s.List("", "a", 2).size(), 2u);
    EXPECT_EQ(s.List("", "a", 2)[0]->key, "@b");
    EXPECT_EQ(s.List("other", "", 2).size(), 0u);
    EXPECT_EQ(s.Count(""), 4);
  });
  EXPECT_EQ(used_slots(), 4);
}

// Slots that sessions keep never come free by themselves: who waits for one is told.
TEST_F(SessionTest, CallsThatCannotGetASlotAreRefusedAtOnce) {
  Start(2);
  Create("a");
  auto running = Submit(Generate(Prompt(5), 20));
  Steps(1);
  auto waiting = Submit(Generate(Prompt(5), 5));
  Steps(2);
  EXPECT_FALSE(engine_->idle());  // it waits for the running one
  RunToIdle();
  EXPECT_TRUE(Drain(*waiting).finished->status.ok());
  Create("b");
  EXPECT_EQ(ReasonOf(Run(Generate(Prompt(5), 5))), ErrorReason::kSessionsMax);
  EXPECT_TRUE(Run(On("a", Prompt(5), 5)).finished->status.ok());
}

TEST_F(SessionTest, HowAnAppendIsCutIntoPiecesChangesNoBit) {
  Start(6);
  const std::vector<int32_t> text = Prompt(700);
  const Seen want = Run(Drawn(Generate(text, 10)));
  std::mt19937 rng(9);
  for (const char* id : {"a", "b", "c", "d"}) {
    Create(id);
    const size_t first = 1 + rng() % 100;
    Request request = On(id, {text.begin(), text.begin() + first}, 1);
    request.kind = RequestKind::kAppend;
    auto call = Submit(request);
    for (size_t done = first; done < text.size();) {
      Steps(static_cast<int>(rng() % 3));
      const size_t piece = std::min<size_t>(1 + rng() % 150, text.size() - done);
      call->Feed(absl::MakeConstSpan(text).subspan(done, piece), false);
      done += piece;
    }
    Steps(3);
    EXPECT_FALSE(engine_->idle());
    call->Feed({}, true);
    RunToIdle();
    const Seen seen = Drain(*call);
    ASSERT_TRUE(seen.finished->status.ok()) << seen.finished->status;
    EXPECT_EQ(seen.finished->usage.prompt_tokens, 700);
    EXPECT_EQ(seen.finished->session_tokens, 700);
    const Seen drawn = Run(Drawn(On(id, {}, 10)));
    EXPECT_EQ(drawn.tokens, want.tokens);
    for (size_t i = 0; i < 10; ++i) EXPECT_EQ(drawn.logprobs[i].logprob, want.logprobs[i].logprob);
  }
}

// What was drawn last goes into the state before what is appended.
TEST_F(SessionTest, AnAppendFollowsWhatWasDrawn) {
  Start(3);
  Create("a");
  const Seen drawn = Run(On("a", Prompt(5), 3));
  Request request = On("a", Prompt(9, 2), 1);
  request.kind = RequestKind::kAppend;
  auto call = Submit(request);
  call->Feed({}, true);
  RunToIdle();
  EXPECT_TRUE(Drain(*call).finished->status.ok());
  EXPECT_EQ(Position("a"), 5 + 3 + 9);
  std::vector<int32_t> all = Prompt(5);
  for (const std::vector<int32_t>& part : {drawn.tokens[0], Prompt(9, 2)})
    all.insert(all.end(), part.begin(), part.end());
  EXPECT_EQ(Run(On("a", {}, 6)).tokens, Run(Generate(all, 6)).tokens);  // other arithmetic, the same greedy tokens
}

TEST_F(SessionTest, PositionsEndWhereTheModelDoes) {
  EngineOptions options;
  options.positions_max = 40;
  Start(1, options);
  Create("a");
  EXPECT_TRUE(Run(On("a", Prompt(10), 20)).finished->status.ok());
  EXPECT_EQ(ReasonOf(Run(On("a", Prompt(6), 5))), ErrorReason::kPositionOutOfRange);
  EXPECT_TRUE(Run(On("a", Prompt(5), 5)).finished->status.ok());
  EXPECT_EQ(Position("a"), 40);
}

}  // namespace
}  // namespace barista

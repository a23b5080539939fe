// Steps that the device goes on with by itself: whoever reads hears the same as where the host plans each one, and
// sessions are left with the same state.
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/device_backend.h"
#include "tests/support/forwarding_backend.h"
#include "tests/support/full.h"

namespace barista {
namespace {

class AheadBackend : public test::ForwardingBackend {
 public:
  AheadBackend(std::unique_ptr<Backend> inner, bool may)
      : ForwardingBackend(*inner), owned_(std::move(inner)), may_(may) {}
  bool ContinueStep() override {
    if (!may_) return false;
    ++continued;
    return inner_.ContinueStep();
  }

  int continued = 0;

 private:
  std::unique_ptr<Backend> owned_;
  bool may_;
};

class RunAheadTest : public EngineTest {
 protected:
  void SetUp() override {
    if (!test::HasDevice()) return;  // a build for cards on a machine without one
  }
  std::unique_ptr<Backend> BackendOf(const std::string& kind) override {
    auto backend = std::make_unique<AheadBackend>(test::MakeBackendUnderTest({.kind = kind}), may_);
    backend_ = backend.get();
    return backend;
  }
  void Begin(bool may, EngineOptions options = {}) {
    may_ = may;
    options.latent_sample_steps = 11;
    Start(4, options, "cuda");
  }

  // What one player does: the same with and without steps ahead.
  struct Told {
    std::vector<Seen> calls;
    std::vector<bool> cut;  // cancelled, or out of time: a step more or less is as good
    std::vector<std::string> states;
  };
  Told Play(uint32_t seed, bool may);

  bool may_ = true;
  AheadBackend* backend_ = nullptr;
};

RunAheadTest::Told RunAheadTest::Play(uint32_t seed, bool may) {
  Begin(may, {.checkpoint_bytes = seed % 2 == 0 ? 0 : int64_t{16} << 20, .rewind_tokens_max = 8});
  const auto create = [](SessionTable& sessions) {
    for (const char* id : {"a", "b"}) EXPECT_TRUE(sessions.Create(id).ok());
  };
  EXPECT_TRUE(engine_->Post(create).ok());
  std::mt19937 rng(seed);
  const auto some = [&rng](uint32_t n) { return static_cast<int32_t>(rng() % n); };
  std::vector<std::shared_ptr<Call>> calls;
  std::vector<bool> cut;
  std::set<std::string> used;
  for (int i = 0; i < 8; ++i) {
    Request request = Generate(Prompt(1 + some(12), some(1000)), 4 + some(24));
    request.sampling.temperature = some(3) == 0 ? 0 : 1;
    request.sampling.seed = some(1000);
    request.stop.ignore_eos = some(2) == 0;
    if (some(3) == 0) request.stop.stop_token_ids = {some(320), some(320), some(320)};
    if (some(4) == 0) request.stop.min_tokens = std::min(4, request.stop.max_tokens);
    if (some(4) == 0) request.sampling.presence_penalty = 0.5f;
    if (some(4) == 0) request.sampling.repetition_penalty = 1.3f;
    if (some(4) == 0) request.sampling.frequency_penalty = 0.25f;
    if (some(5) == 0) request.sampling.logit_bias = {{7, 2.5f}};
    if (some(6) == 0) request.speculation_tokens = 2;
    request.logprobs = some(4) == 0 ? 2 : some(2) - 1;
    if (some(3) == 0) {
      request.session = some(2) == 0 ? "a" : "b";
      if (!used.insert(request.session).second) RunToIdle();  // else it may be busy a step longer
      request.opening = request.prompt;
    } else {
      request.n = 1 + some(2);
    }
    calls.push_back(Submit(request));
    cut.push_back(false);
    Steps(some(12));
    if (some(6) == 0) {
      const size_t c = rng() % calls.size();
      // What a session has after a cancelled call depends on when; so only others are cancelled.
      if (calls[c]->request().session.empty()) {
        calls[c]->Cancel();
        cut[c] = true;
      }
    }
  }
  RunToIdle();
  Told told;
  for (const auto& call : calls) told.calls.push_back(Drain(*call));
  told.cut = cut;
  for (const char* id : {"a", "b"}) {
    const auto keep = [&](SessionTable& sessions) {
      const absl::StatusOr<Session*> session = sessions.Find(id);
      ASSERT_TRUE(session.ok());
      const Sequence& sequence = (*session)->sequence();
      const std::string state = sequence.lease.holds() ? m_.pool->Download(sequence.lease.slot()) : "";
      told.states.push_back(
          absl::StrCat(sequence.position, " ", sequence.pending, " ", std::hash<std::string>()(state)));
    };
    EXPECT_TRUE(engine_->Post(keep).ok());
  }
  Steps(2);  // the first may have been ahead
  EXPECT_EQ(told.states.size(), 2u);
  return told;
}

TEST_F(RunAheadTest, EveryReaderHearsTheSameAndSessionsKeepTheSame) {
  int continued = 0;
  const uint32_t seeds = test::kDeviceIsSlow && !test::WantsWholeCounts() ? 4 : 40;
  for (uint32_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    const Told want = Play(seed, false), got = Play(seed, true);
    continued += backend_->continued;
    ASSERT_EQ(got.calls.size(), want.calls.size());
    for (size_t c = 0; c < want.calls.size(); ++c) {
      SCOPED_TRACE(absl::StrCat("call ", c));
      const Seen &w = want.calls[c], &g = got.calls[c];
      ASSERT_TRUE(g.finished && w.finished);
      if (want.cut[c]) {
        for (size_t i = 0; i < std::min(w.tokens.size(), g.tokens.size()); ++i) {
          const size_t common = std::min(w.tokens[i].size(), g.tokens[i].size());
          EXPECT_TRUE(std::equal(w.tokens[i].begin(), w.tokens[i].begin() + common, g.tokens[i].begin()));
        }
        continue;
      }
      EXPECT_EQ(g.finished->status, w.finished->status);
      EXPECT_EQ(g.tokens, w.tokens);
      EXPECT_EQ(g.finish, w.finish);
      EXPECT_EQ(g.finished->usage.generated_tokens, w.finished->usage.generated_tokens);
      ASSERT_EQ(g.logprobs.size(), w.logprobs.size());
    }
    EXPECT_EQ(got.states, want.states);
  }
  EXPECT_GT(continued, 10 * static_cast<int>(seeds));  // or little was ahead
}

// The device counts what it draws for penalties: ids that are new and ids that come again.
TEST_F(RunAheadTest, PenaltiesGoOn) {
  std::vector<std::vector<int32_t>> told;
  for (const bool may : {true, false}) {
    Begin(may);
    Request request = Generate({1, 2, 3}, 60);
    request.sampling.repetition_penalty = 1.2f;
    request.sampling.presence_penalty = 0.3f;
    request.sampling.frequency_penalty = 0.4f;
    request.sampling.temperature = 0;
    auto call = Submit(request);
    auto other = Submit(Generate({4, 5}, 60));
    RunToIdle();
    EXPECT_EQ(may, backend_->continued > 40);
    told.push_back(Drain(*call).tokens.at(0));
  }
  EXPECT_EQ(told[0], told[1]);
}

// A step ahead is not waited for by who stops the engine, cancels, or submits: a step later they are served.
TEST_F(RunAheadTest, WhatComesFromOutsideIsServedAStepLater) {
  Begin(true);
  auto running = Submit(Generate({1, 2, 3}, 100));
  Steps(6);
  const int before = backend_->continued;
  EXPECT_GT(before, 0);
  auto other = Submit(Generate({4}, 2));
  Steps(4);
  EXPECT_TRUE(Drain(*other).finished);
  running->Cancel();
  Steps(2);
  const Seen seen = Drain(*running);
  ASSERT_TRUE(seen.finished);
  EXPECT_EQ(DetailOf(seen.finished->status).reason, ErrorReason::kCancelled);
  EXPECT_EQ(used_slots(), 0);
  auto last = Submit(Generate({1, 2, 3}, 100));
  Steps(4);
  engine_->Stop();
  const Seen stopped = Drain(*last);
  ASSERT_TRUE(stopped.finished);
  EXPECT_EQ(DetailOf(stopped.finished->status).reason, ErrorReason::kDraining);
  EXPECT_EQ(static_cast<int64_t>(stopped.tokens.at(0).size()), stopped.finished->usage.generated_tokens);
}

// A reader that does not read gets what its outbox holds, and the rest once it reads: none is drawn for nothing.
TEST_F(RunAheadTest, AFullOutboxEndsTheRun) {
  Begin(true, {.outbox_events_max = 12});
  auto call = Submit(Generate({1, 2, 3}, 60));
  Steps(50);
  EXPECT_GT(backend_->continued, 0);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 200 && !engine_->idle(); ++i) {
    const Seen seen = Drain(*call);
    if (!seen.tokens.empty()) tokens.insert(tokens.end(), seen.tokens[0].begin(), seen.tokens[0].end());
    EXPECT_LE(seen.tokens.empty() ? 0 : seen.tokens[0].size(), 12u);
    Steps(1);
  }
  const Seen seen = Drain(*call);
  if (!seen.tokens.empty()) tokens.insert(tokens.end(), seen.tokens[0].begin(), seen.tokens[0].end());
  Begin(false);
  auto again = Submit(Generate({1, 2, 3}, 60));
  RunToIdle();
  EXPECT_EQ(tokens, Drain(*again).tokens.at(0));
}

}  // namespace
}  // namespace barista

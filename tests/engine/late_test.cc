// Tokens that are delivered while the device computes the next step: only when a reader gets them changes, and nothing
// of what it gets.
#include <functional>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/forwarding_backend.h"

namespace barista {
namespace {

// Says whether it queues as it is told, notes what it is asked, and breaks like a card: then samples are not finite.
class TalkingBackend : public test::ForwardingBackend {
 public:
  TalkingBackend(std::unique_ptr<Backend> inner, bool queues, std::vector<std::string>& heard)
      : ForwardingBackend(*inner), owned_(std::move(inner)), queues_(queues), heard_(heard) {}

  bool queues() const override { return queues_; }
  absl::Status status() const override { return broken ? absl::InternalError("it broke") : absl::OkStatus(); }
  bool BeginStep(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const int64_t> positions,
                 absl::Span<const SampleRow> draws) override {
    heard_.push_back("forward");
    return ForwardingBackend::BeginStep(segments, tokens, positions, draws);
  }
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) override {
    heard_.push_back("sample");
    if (samples_left == 0) broken = true;
    if (broken) return;
    --samples_left;
    ForwardingBackend::Sample(logits, rows, results);
  }

  int samples_left = 1 << 30;
  bool broken = false;

 private:
  const std::unique_ptr<Backend> owned_;
  const bool queues_;
  std::vector<std::string>& heard_;
};

std::string Told(const SampleResult& result) {
  std::string told = absl::StrCat(result.logprob);
  for (const auto& top : result.top) absl::StrAppend(&told, " ", top.id, ":", top.logprob);
  return told;
}

// All that a reader is told by an event, but for times.
std::string Told(const Event& event) {
  if (const auto* token = std::get_if<Token>(&event)) {
    return absl::StrCat("token ", token->choice, " ", token->id, " '", token->text, "' ", Told(token->logprobs), " ",
                        static_cast<int>(token->finish), " ", token->stop_index);
  }
  if (const auto* progress = std::get_if<PrefillProgress>(&event)) {
    return absl::StrCat("progress ", progress->done, "/", progress->total);
  }
  if (const auto* prompt = std::get_if<PromptLogprobs>(&event)) {
    std::string told = absl::StrCat("prompt from ", prompt->begin);
    for (const SampleResult& result : prompt->tokens) absl::StrAppend(&told, " ", Told(result));
    return told;
  }
  const Finished& finished = std::get<Finished>(event);
  const Usage& usage = finished.usage;
  return absl::StrCat("finished ", finished.status.ToString(), " ", usage.prompt_tokens, " ", usage.generated_tokens,
                      " ", usage.cached_tokens, " ", usage.drafted_tokens, " ", usage.accepted_tokens, " ",
                      finished.session_tokens, " ", finished.sealed != nullptr);
}

class LateTest : public EngineTest {
 protected:
  void Begin(bool queues, int32_t slots, EngineOptions options = {}) {
    engine_.reset();  // whose calls are heard to end
    heard_.clear();
    queues_ = queues;
    if (tokenizer_ == nullptr) tokenizer_ = *Tokenizer::Load("tests/text/data/bytes.json");
    Start(slots, std::move(options));
  }
  std::unique_ptr<Backend> BackendOf(const std::string& kind) override {
    auto backend = std::make_unique<TalkingBackend>(EngineTest::BackendOf(kind), queues_, heard_);
    backend_ = backend.get();
    return backend;
  }
  const Tokenizer* tokenizer() override { return tokenizer_.get(); }
  void TearDown() override { engine_.reset(); }  // before what it is told of and with

  // Its reader takes every event at once, and is heard.
  void SubmitHeard(Request request) {
    const absl::StatusOr<std::shared_ptr<Call>> call = engine_->Submit(std::move(request), [this] {
      bool resumed;
      while (const std::optional<Event> event = heard_call_->Pop(resumed)) {
        const auto* token = std::get_if<Token>(&*event);
        heard_.push_back(token == nullptr ? "finished" : absl::StrCat("token of ", token->choice));
      }
    });
    ASSERT_TRUE(call.ok()) << call.status();
    heard_call_ = *call;
  }
  std::string Heard() { return absl::StrJoin(std::exchange(heard_, {}), ", "); }

  // A random run, the same for every backend: all that each call's reader was told. `slow` readers make calls pause.
  std::vector<std::vector<std::string>> Play(uint32_t seed, bool queues, bool slow);
  Request RandomRequest(std::mt19937& rng, bool slow);
  void Disturb(uint32_t how);

  bool queues_ = false;
  TalkingBackend* backend_ = nullptr;
  std::vector<std::string> heard_;
  std::shared_ptr<Call> heard_call_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(LateTest, TheNextStepIsUnderWayWhenATokenIsDelivered) {
  EngineOptions options;
  options.outbox_events_max = 1;  // the smallest is no reason to pause where a reader keeps up
  Begin(true, 1, options);
  SubmitHeard(Generate({1, 2, 3}, 3));
  RunToIdle();
  EXPECT_EQ(Heard(), "forward, sample, forward, token of 0, sample, forward, token of 0, sample, token of 0, finished");
}

TEST_F(LateTest, WhereStepsAreComputedAtOnceATokenIsToo) {
  Begin(false, 1);
  SubmitHeard(Generate({1, 2, 3}, 3));
  RunToIdle();
  EXPECT_EQ(Heard(), "forward, sample, token of 0, forward, sample, token of 0, forward, sample, token of 0, finished");
}

TEST_F(LateTest, WhatTheStepDependsOnWaitsForNothing) {
  const auto at_once = [this](Request request) {
    Begin(true, 4);
    ASSERT_TRUE(engine_->Post([](SessionTable& sessions) { EXPECT_TRUE(sessions.Create("a").ok()); }).ok());
    Steps(1);
    SubmitHeard(std::move(request));
    Steps(1);
    EXPECT_EQ(Heard(), "forward, sample, token of 0");
  };
  const Request plain = Generate({1, 2, 3}, 9);
  Request session = plain, sealed = plain, drafted = plain, stopped = plain;
  session.session = "a";
  session.opening = session.prompt;
  sealed.seal = true;
  drafted.speculation_tokens = 4;
  const std::vector<std::string> stops = {"stop"};
  stopped.stop.stop_strings = std::make_shared<const StopStrings>(*StopStrings::Create(stops));
  for (const Request& request : {session, sealed, drafted, stopped}) at_once(request);
}

TEST_F(LateTest, ChoicesThatEndStayBehindThoseThatGoOn) {
  Begin(false, 2);
  Request request = Generate({1, 2, 3}, 9);
  request.sampling = {.temperature = 1, .seed = 1};
  request.n = 2;
  const auto first = [&] {
    auto call = Submit(request);
    RunToIdle();
    return Drain(*call).tokens;
  }();
  ASSERT_NE(first[0][0], first[1][0]);
  request.stop.stop_token_ids = {first[1][0]};
  Begin(true, 2);
  SubmitHeard(request);
  Steps(1);
  EXPECT_EQ(Heard(), "forward, sample, token of 0, token of 1");
}

TEST_F(LateTest, ACallsEndIsBehindItsTokens) {
  const std::map<std::string, std::function<void(Call&)>> ends = {
      {"a cancel", [](Call& call) { call.Cancel(); }},
      {"a deadline", [this](Call&) { clock_.Advance(Seconds(60)); }},
      {"a stop of the engine", [this](Call&) { engine_->Stop(); }},
      {"a device that fails", [this](Call&) { backend_->broken = true; }},
  };
  for (const auto& [name, end] : ends) {
    SCOPED_TRACE(name);
    Begin(true, 1);
    Request request = Generate({1, 2, 3}, 100);
    request.deadline = clock_.Now() + std::chrono::seconds(30);
    auto call = Submit(request);
    Steps(3);
    end(*call);
    Steps(2);
    const Seen seen = Drain(*call);
    ASSERT_TRUE(seen.finished);
    EXPECT_EQ(seen.tokens.at(0).size(), 3u);
    EXPECT_EQ(seen.finished->usage.generated_tokens, 3);
  }
}

TEST_F(LateTest, APausedCallHasRoomForAllItsTokensAndGetsThem) {
  EngineOptions options;
  options.outbox_events_max = 8;  // what a step may send, and late tokens of three choices
  Begin(true, 3, options);
  Request request = Generate({1, 2, 3}, 100);
  request.n = 3;
  auto call = Submit(request);
  Steps(20);
  size_t tokens = 0;
  for (const auto& choice : Drain(*call).tokens) tokens += choice.size();
  EXPECT_LE(tokens, 8u);
  EXPECT_EQ(metrics_.generation_tokens_total.Value(), static_cast<double>(tokens));  // none is held back
  Steps(1);
  EXPECT_EQ(metrics_.generation_tokens_total.Value(), static_cast<double>(tokens + 3));
}

TEST_F(LateTest, LatencyIsThatOfTheDelivery) {
  Begin(true, 1);
  auto call = Submit(Generate({1, 2, 3}, 2));
  Steps(1);
  clock_.Advance(Seconds(1));
  RunToIdle();
  EXPECT_DOUBLE_EQ(Drain(*call).finished->timings.time_to_first_token, 1);
}

Request LateTest::RandomRequest(std::mt19937& rng, bool slow) {
  const auto one_in = [&rng](uint32_t n) { return rng() % n == 0; };
  const auto some = [&rng](uint32_t n) { return static_cast<int32_t>(rng() % n); };
  const bool long_prompt = one_in(3) && !slow;
  Request request = Generate(Prompt(1 + some(long_prompt ? 200 : 20), some(1000)), 1 + some(40));
  request.sampling.temperature = one_in(3) ? 0 : 1;
  request.sampling.seed = some(1000);
  if (one_in(5)) request.sampling.repetition_penalty = 1.3f;
  request.stop.ignore_eos = one_in(2);
  request.logprobs = some(4) - 1;
  if (one_in(4)) request.stop.min_tokens = std::min(5, request.stop.max_tokens);
  if (one_in(4)) request.stop.stop_token_ids = {some(320), some(320)};
  if (one_in(4)) {
    const std::vector<std::string> stops = {std::string(1, static_cast<char>('a' + some(26))), "e"};
    request.stop.stop_strings = std::make_shared<const StopStrings>(*StopStrings::Create(stops));
  }
  if (one_in(5)) request.prompt_logprobs = 1;
  if (one_in(2)) request.n = 1 + some(3);
  if (slow) return request;  // what follows depends on when others pause
  if (one_in(5)) request.speculation_tokens = 3;
  if (one_in(6)) request.deadline = clock_.Now() + std::chrono::seconds(1 + some(5));
  if (one_in(4)) {
    request.n = 1;
    request.session = one_in(2) ? "a" : "b";
    request.opening = request.prompt;
  } else if (one_in(8)) {
    request.n = 1;
    request.seal = true;
  }
  return request;
}

void LateTest::Disturb(uint32_t how) {
  const SlotArray array = m_.pool->array(0, StateKind::kRglruH);  // of slot 0
  switch (how % 4) {
    case 0:
      return m_.backend->Fill(array.base, array.dtype, 1, std::numeric_limits<double>::quiet_NaN());
    case 1:
      return engine_->Drain();
    case 2:
      backend_->samples_left = 3;
      return;
    case 3:
      return engine_->Stop();
  }
}

std::vector<std::vector<std::string>> LateTest::Play(uint32_t seed, bool queues, bool slow) {
  EngineOptions options;
  options.checkpoint_bytes = slow ? 0 : int64_t{16} << 20;
  options.prefix_tokens_min = 64;
  options.outbox_events_max = slow ? 8 : 4096;
  Begin(queues, 5, options);
  const auto create = [](SessionTable& sessions) {
    for (const char* id : {"a", "b"}) EXPECT_TRUE(sessions.Create(id).ok());
  };
  EXPECT_TRUE(engine_->Post(create).ok());
  std::mt19937 rng(seed);
  std::vector<std::shared_ptr<Call>> calls;
  std::vector<std::vector<std::string>> told;
  const auto read = [&](size_t i, uint32_t events) {
    bool resumed;
    for (; events > 0; --events) {
      if (const std::optional<Event> event = calls[i]->Pop(resumed)) told[i].push_back(Told(*event));
    }
  };
  for (int i = 0; i < 60; ++i) {
    if (auto call = engine_->Submit(RandomRequest(rng, slow), [] {}); call.ok()) calls.push_back(*call);
    told.resize(calls.size());
    for (uint32_t steps = rng() % 6; steps > 0; --steps) {
      engine_->Step();
      clock_.Advance(Seconds(0.1));
      for (size_t c = 0; slow && c < calls.size(); ++c) read(c, rng() % 3);
    }
    if (slow) continue;
    if (rng() % 4 == 0) calls[rng() % calls.size()]->Cancel();
    if (i == 50) Disturb(seed);
  }
  for (int i = 0; i < 10000 && !engine_->idle(); ++i) {
    engine_->Step();
    for (size_t c = 0; c < calls.size(); ++c) read(c, 4);
  }
  EXPECT_TRUE(engine_->idle());
  for (size_t c = 0; c < calls.size(); ++c) read(c, 4096);
  return told;
}

TEST_F(LateTest, EveryReaderIsToldTheSame) {
  size_t events = 0;
  for (uint32_t seed = 0; seed < 24; ++seed) {
    for (const bool slow : {false, true}) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, slow ? ", slow readers" : ""));
      const std::vector<std::vector<std::string>> want = Play(seed, false, slow), got = Play(seed, true, slow);
      ASSERT_EQ(got.size(), want.size());
      for (size_t c = 0; c < want.size(); ++c) EXPECT_EQ(got[c], want[c]) << "call " << c;
      for (const auto& told : want) events += told.size();
    }
  }
  EXPECT_GT(events, 20000u);  // or little was compared
}

}  // namespace
}  // namespace barista

// Several engines are one server: who asks cannot tell where a session lies, and slots that are free are used.
#include "server/engine/engines.h"

#include <atomic>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "tests/engine/engines_fixture.h"
#include "tests/engine/memory_store.h"
#include "tests/support/forwarding_backend.h"
#include "tests/support/full.h"

namespace barista {
namespace {

ErrorReason ReasonOf(const absl::Status& status) { return DetailOf(status).reason; }

TEST_F(EnginesTest, NewSessionsGoWhereSlotsAreFree) {
  StartSeveral({4, 8});
  std::vector<absl::Status> made(12);
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Ask(absl::StrCat("a@", i), made[i]).ok());  // before any engine looks
  StepAll(2);
  for (const absl::Status& status : made) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(group_->homes.sessions(0), 4);
  EXPECT_EQ(group_->homes.sessions(1), 8);
  EXPECT_EQ(used_slots(), 12);
  EXPECT_EQ(metrics_.sessions_max.Value(), 12);
  EXPECT_EQ(engines_->sessions_max(), 12);
  EXPECT_EQ(engines_->sessions(), 12);
  EXPECT_EQ(ReasonOf(Create("a@more")), ErrorReason::kSessionsMax);
}

TEST_F(EnginesTest, CallsWithoutASessionAreSpread) {
  StartSeveral({4, 4});
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(Send(Generate(Prompt(9, i), 6)));
  StepAll(2);
  EXPECT_EQ(owned_[0]->vacancy().streams, 4);
  EXPECT_EQ(owned_[1]->vacancy().streams, 4);
  EXPECT_EQ(metrics_.num_requests_running.Value(), 8);
  EXPECT_EQ(metrics_.num_requests_waiting.Value(), 0);
  RunAllToIdle();
  for (const auto& call : calls) EXPECT_TRUE(Drain(*call).finished->status.ok());
  Request wide = Generate(Prompt(3), 2);
  wide.n = 5;
  EXPECT_EQ(ReasonOf(engines_->Submit(wide, [] {}).status()), ErrorReason::kSessionsMax);
}

TEST_F(EnginesTest, WhatComesForANameMeetsBeforeItExists) {
  StartSeveral({2, 2, 2});
  for (int i = 0; i < 6; ++i) {
    const std::string key = absl::StrCat("a@", i);
    absl::Status first = absl::UnknownError(""), second = first, found = first;
    ASSERT_TRUE(Ask(key, first).ok());
    ASSERT_TRUE(Ask(key, second).ok());
    ASSERT_TRUE(engines_->PostFind(key, [&](const auto& session) { found = session.status(); }).ok());
    StepAll(2);
    EXPECT_TRUE(first.ok()) << first;
    EXPECT_EQ(ReasonOf(second), ErrorReason::kSessionExists);
    EXPECT_TRUE(found.ok()) << found;
  }
  EXPECT_EQ(ReasonOf(Say("a@none", Prompt(3), 2).finished->status), ErrorReason::kSessionNotFound);
  EXPECT_EQ(Home("a@none"), -1);  // a name that nobody holds is forgotten
}

TEST_F(EnginesTest, ACallThatWaitsGoesToASlotThatComesFree) {
  StartSeveral({1, 1});
  auto a = Send(Generate(Prompt(3, 1), 50)), b = Send(Generate(Prompt(3, 2), 5));
  StepAll(2);
  auto c = Send(Generate(Prompt(3, 3), 4)), d = Send(Generate(Prompt(3, 4), 4));
  EXPECT_EQ(metrics_.num_requests_waiting.Value(), 2);
  StepAll(20);  // `a` still runs, and one of the two waited behind it
  EXPECT_TRUE(Drain(*b).finished);
  EXPECT_TRUE(Drain(*c).finished);
  EXPECT_TRUE(Drain(*d).finished);
  EXPECT_FALSE(Drain(*a).finished);
  EXPECT_EQ(metrics_.num_requests_waiting.Value(), 0);
  RunAllToIdle();
}

TEST_F(EnginesTest, ASessionWithoutASlotGoesToOneThatIsFreeWithAllItsPast) {
  EngineOptions options;
  options.checkpoint_bytes = int64_t{16} << 20;
  options.outbox_events_max = 4096;
  options.tiers.host_sessions = 4;
  StartSeveral({1, 1}, options);
  ASSERT_TRUE(Create("a@x").ok());
  ASSERT_TRUE(Say("a@x", Prompt(300), 40).finished->status.ok());
  Request mark = Saying("a@x", {}, 10);
  mark.mark = "here";
  auto marked = Send(mark);
  RunAllToIdle();
  ASSERT_TRUE(Drain(*marked).finished->status.ok());
  const std::string here = Bytes("a@x");
  ASSERT_TRUE(Say("a@x", Prompt(7), 9).finished->status.ok());
  const std::string end = Bytes("a@x");

  ASSERT_EQ(Home("a@x"), 0);
  auto one = Send(Generate(Prompt(3, 1), 1000));  // takes the free slot
  StepAll(2);
  auto two = Send(Generate(Prompt(3, 2), 1000));  // takes the session's, which goes to the host's memory
  StepAll(20);
  EXPECT_EQ(metrics_.sessions("host").Value(), 1);
  one->Cancel();
  StepAll(2);
  auto call = Send(Saying("a@x", Prompt(5), 3));
  StepAll(20);
  EXPECT_TRUE(Drain(*call).finished->status.ok());
  EXPECT_EQ(Home("a@x"), 1);
  EXPECT_EQ(metrics_.session_moves_total.Value(), 1);
  EXPECT_EQ(group_->homes.sessions(0), 0);
  EXPECT_EQ(group_->homes.sessions(1), 1);
  two->Cancel();
  RunAllToIdle();

  // What was kept for rewinds has come along.
  const auto rewind = [&](const RewindTarget& to) {
    Request request;
    request.kind = RequestKind::kRewind;
    request.session = "a@x";
    request.rewind = to;
    auto going_back = Send(request);
    RunAllToIdle();
    return Drain(*going_back).finished->status;
  };
  ASSERT_TRUE(rewind({.turns = 1}).ok());
  EXPECT_EQ(Bytes("a@x"), end);
  ASSERT_TRUE(rewind({.mark = "here"}).ok());
  EXPECT_EQ(Bytes("a@x"), here);
}

TEST_F(EnginesTest, LimitsOfTenantsAreTheServers) {
  StartSeveral({4, 4});
  TenantPolicy policy;
  policy.named["a"] = {.sessions_max = 3, .streams_max = 2, .tokens_per_second = 10};
  engines_->SetTenants(policy);
  StepAll();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());
  EXPECT_GT(group_->homes.sessions(0) * group_->homes.sessions(1), 0);
  const absl::Status fourth = Create("a@3");
  EXPECT_EQ(ReasonOf(fourth), ErrorReason::kTenantLimit);
  EXPECT_NE(fourth.message().find("sessions_max of tenant a is 3: it has 3"), std::string::npos) << fourth;

  Request request = Generate(Prompt(1), 100);
  request.tenant = "a";
  auto one = Send(request), two = Send(request);
  EXPECT_EQ(ReasonOf(engines_->Submit(request, [] {}).status()), ErrorReason::kTenantLimit);
  size_t tokens = 0;
  for (int i = 0; i < 200; ++i) {  // 4 seconds
    StepAll();
    clock_.Advance(Seconds(0.02));
    for (const auto& call : {one, two}) {
      const Seen seen = Drain(*call);
      tokens += seen.tokens.empty() ? 0 : seen.tokens[0].size();
    }
  }
  EXPECT_NEAR(static_cast<double>(tokens), 10 + 4 * 10, 4);  // a second's worth is saved up
  one->Cancel();
  two->Cancel();
  RunAllToIdle();
  absl::Status deleted = absl::UnknownError("");
  ASSERT_TRUE(engines_->PostAt("a@1", [&](SessionTable& s) { deleted = s.Delete("a@1"); }).ok());
  StepAll(2);
  EXPECT_TRUE(deleted.ok());
  EXPECT_TRUE(Create("a@3").ok());
}

TEST_F(EnginesTest, AForksChildrenAreWhereItIs) {
  StartSeveral({8, 8});
  ASSERT_TRUE(Create("a@x").ok());
  ASSERT_TRUE(Create("a@other").ok());
  ASSERT_NE(Home("a@x"), Home("a@other"));
  ASSERT_TRUE(Say("a@x", Prompt(50), 5).finished->status.ok());
  const auto fork = [&](const std::vector<std::string>& children) {
    absl::Status forked = absl::UnknownError("not answered");
    const absl::Status posted =
        engines_->PostForFork("a@x", children, [&, children](SessionTable& s, const absl::Status& brought) {
          EXPECT_TRUE(brought.ok());
          forked = s.Fork("a@x", children, true).status();
        });
    if (!posted.ok()) return posted;
    StepAll(3);
    return forked;
  };
  EXPECT_TRUE(fork({"a@y", "a@z"}).ok());
  EXPECT_EQ(Home("a@y"), Home("a@x"));
  EXPECT_EQ(Home("a@z"), Home("a@x"));
  EXPECT_EQ(ReasonOf(fork({"a@new", "a@other"})), ErrorReason::kSessionExists);
  EXPECT_EQ(Home("a@new"), -1);
  EXPECT_EQ(Say("a@y", Prompt(4), 9).tokens, Say("a@x", Prompt(4), 9).tokens);
}

TEST_F(EnginesTest, WorkGoesThroughAllEnginesAlsoWhileTheyDrain) {
  StartSeveral({4, 4, 4});
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());
  std::vector<std::string> keys;
  int calls = 0, lasts = 0;
  ASSERT_TRUE(engines_
                  ->PostEach([&](SessionTable& s, bool last) {
                    for (const Session* session : s.List("a", "", 100)) keys.push_back(session->key);
                    ++calls;
                    lasts += last ? 1 : 0;
                    if (calls == 1) engines_->Drain();
                  })
                  .ok());
  StepAll(3);
  EXPECT_EQ(keys.size(), 12);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(lasts, 1);
  EXPECT_EQ(ReasonOf(engines_->PostEach([](SessionTable&, bool) {})), ErrorReason::kDraining);
}

// One whose device fails when told to.
class FailingBackend final : public test::ForwardingBackend {
 public:
  explicit FailingBackend(std::unique_ptr<Backend> backend) : test::ForwardingBackend(*backend), owned_(std::move(backend)) {}
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
  for (const auto& call : calls) ++reasons[ReasonOf(Drain(*call).finished->status)];
  EXPECT_EQ(reasons[ErrorReason::kEngineFailed], 1);
  EXPECT_EQ(reasons[ErrorReason::kDraining], 1);
  EXPECT_EQ(store_.states.size(), 3);
}

// Many sessions with few slots, on several engines and on one with room for all: the same is said, the same is left.
class RandomEnginesTest : public EnginesTest {
 protected:
  struct Told {
    std::vector<std::vector<int32_t>> tokens;
    std::vector<absl::StatusCode> codes;
    std::map<std::string, std::string> states;
    bool operator==(const Told&) const = default;
  };
  Told Play(uint32_t seed, int rounds) {
    std::mt19937 rng(seed), order(seed + 1000);
    const auto draw = [&](int n) { return static_cast<int>(rng() % n); };
    Told told;
    std::vector<std::string> live;
    int named = 0;
    for (int round = 0; round < rounds; ++round) {
      std::vector<std::shared_ptr<Call>> calls;
      std::map<std::string, bool> busy;  // one call a session and round: who would be first is not told
      for (int i = 0, n = 1 + draw(8); i < n; ++i) {
        const int what = draw(10);
        const std::string key = live.empty() ? "" : live[draw(static_cast<int>(live.size()))];
        if (what < 2 || live.empty()) {
          calls.push_back(Send(Generate(Prompt(1 + draw(60), draw(1000)), 1 + draw(12))));
        } else if (!busy.emplace(key, true).second) {
          continue;
        } else if (what < 8) {
          calls.push_back(Send(Saying(key, Prompt(1 + draw(60), draw(1000)), 1 + draw(12))));
        } else {
          Request request;
          request.kind = RequestKind::kRewind;
          request.session = key;
          request.rewind = {.tokens = 1 + draw(30)};
          calls.push_back(Send(request));
        }
        if (draw(3) == 0) StepInOrder(order, 1);
      }
      for (int i = 0; i < 100000 && !engines_->idle(); ++i) StepInOrder(order, 1);
      for (const auto& call : calls) {
        Seen seen = Drain(*call);
        EXPECT_TRUE(seen.finished);
        if (!seen.finished) return told;
        told.codes.push_back(seen.finished->status.code());
        told.tokens.push_back(seen.tokens.empty() ? std::vector<int32_t>() : seen.tokens[0]);
      }
      const int what = draw(4);
      if (what < 2 || live.size() < 3) {
        live.push_back(absl::StrCat("a@", named++));
        EXPECT_TRUE(Create(live.back()).ok());
      } else if (what == 2) {
        const std::string from = live[draw(static_cast<int>(live.size()))], to = absl::StrCat("a@", named++);
        absl::Status forked = absl::UnknownError("not answered");
        EXPECT_TRUE(engines_
                        ->PostForFork(from, {to},
                                      [&](SessionTable& s, const absl::Status& brought) {
                                        forked = brought.ok() ? s.Fork(from, {&to, 1}, false).status() : brought;
                                      })
                        .ok());
        StepAll(6);
        EXPECT_TRUE(forked.ok()) << forked;
        live.push_back(to);
      } else {
        const size_t at = draw(static_cast<int>(live.size()));
        absl::Status deleted = absl::UnknownError("not answered");
        EXPECT_TRUE(engines_->PostAt(live[at], [&](SessionTable& s) { deleted = s.Delete(live[at]); }).ok());
        StepAll(3);
        EXPECT_TRUE(deleted.ok()) << deleted;
        live.erase(live.begin() + static_cast<int64_t>(at));
      }
    }
    for (const std::string& key : live) told.states[key] = Bytes(key);
    return told;
  }
  void StepInOrder(std::mt19937& order, int rounds) {
    for (size_t i = 0; i < rounds * owned_.size(); ++i) owned_[order() % owned_.size()]->Step();
  }
};

TEST_F(RandomEnginesTest, SeveralSayWhatOneDoes) {
  const int seeds = test::WantsWholeCounts() ? 300 : 12;
  double moves = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    EngineOptions options;
    options.checkpoint_bytes = int64_t{64} << 20;
    options.outbox_events_max = 4096;
    StartSeveral({64}, options);
    const Told want = Play(seed, 30);
    options.tiers.host_sessions = 40;
    StartSeveral(seed % 2 == 0 ? std::vector<int32_t>{2, 3} : std::vector<int32_t>{1, 2, 1}, options);
    const double before = metrics_.session_moves_total.Value();
    EXPECT_TRUE(Play(seed, 30) == want) << "seed " << seed;
    moves += metrics_.session_moves_total.Value() - before;
  }
  EXPECT_GT(moves, seeds);
}

TEST_F(EnginesTest, TheirThreadsAnswerTogether) {
  EngineOptions options;
  options.tiers.host_sessions = 16;
  StartSeveral({2, 2, 2}, options);
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());
  engines_->Start();
  std::vector<std::thread> callers;
  std::atomic<int> answered = 0;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&, c] {
      std::mt19937 rng(c);
      for (int i = 0; i < 60; ++i) {
        const bool kept = rng() % 3 > 0;
        const std::string key = absl::StrCat("a@", 3 * c + rng() % 3);  // its own three
        Request request =
            kept ? Saying(key, Prompt(1 + static_cast<int32_t>(rng() % 40), i), 6) : Generate(Prompt(5), 6);
        auto call = engines_->Submit(std::move(request), [] {});
        ASSERT_TRUE(call.ok()) << call.status();
        bool resumed;
        for (std::optional<Event> event; !event || !std::holds_alternative<Finished>(*event);) {
          event = (*call)->Pop(resumed);
          if (resumed) (*call)->WakeEngine();
          if (!event) {
            std::this_thread::yield();
          } else if (const Finished* finished = std::get_if<Finished>(&*event)) {
            ASSERT_TRUE(finished->status.ok()) << finished->status;
            ++answered;
          }
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answered, 240);
  EXPECT_EQ(engines_->sessions(), 12);
  engines_->Drain();
  engines_->CutOff();
  EXPECT_TRUE(engines_->idle());
}

}  // namespace
}  // namespace barista

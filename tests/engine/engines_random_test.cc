// Several engines under random calls, and with their threads: what one engine says.
#include <atomic>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/engine/engines_fixture.h"
#include "tests/support/full.h"

namespace barista {
namespace {

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
    for (size_t i = 0; i < rounds * owned_.size(); ++i) Step(order() % owned_.size());
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

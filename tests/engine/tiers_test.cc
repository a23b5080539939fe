// Sessions that leave the device for other places and come back: nobody notices but the metrics.
#include <map>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/engine/memory_store.h"

namespace barista {
namespace {

class TiersTest : public EngineTest {
 protected:
  void Begin(int32_t slots, int64_t host, int64_t directory) {
    EngineOptions options;
    options.checkpoint_bytes = int64_t{16} << 20;
    options.tiers = {.host_sessions = host, .directory_sessions = directory};
    if (directory > 0) options.tiers.directory = &store_;
    Start(slots, options);
  }
  absl::Status Create(const std::string& id) {
    absl::Status status;
    EXPECT_TRUE(engine_->Post([&](SessionTable& s) { status = s.Create(id).status(); }).ok());
    Steps(1);
    return status;
  }
  Seen Say(const std::string& id, const std::vector<int32_t>& prompt, int32_t tokens) {
    auto call = Submit(Saying(id, prompt, tokens));
    RunToIdle();
    return Drain(*call);
  }
  MemoryStore store_;
};

TEST_F(TiersTest, SessionsThatWentDownGoOnAsIfTheyHadStayed) {
  std::map<std::string, std::vector<std::vector<int32_t>>> want;
  const auto play = [&](std::map<std::string, std::vector<std::vector<int32_t>>>& heard) {
    for (int i = 0; i < 9; ++i) ASSERT_TRUE(Create(absl::StrCat("s", i)).ok());
    std::mt19937 rng(4);
    for (int i = 0; i < 80; ++i) {
      const std::string id = absl::StrCat("s", rng() % 9);
      const bool silent = !heard[id].empty() && rng() % 2 == 0;
      const Seen seen = Say(id, silent ? std::vector<int32_t>() : Prompt(1 + static_cast<int32_t>(rng() % 99), i), 5);
      ASSERT_TRUE(seen.finished->status.ok()) << seen.finished->status;
      heard[id].push_back(seen.tokens[0]);
    }
  };
  Begin(9, 0, 0);
  play(want);
  for (const auto& [host, directory] : {std::pair{7, 0}, {0, 7}, {3, 4}}) {
    Begin(2, host, directory);
    std::map<std::string, std::vector<std::vector<int32_t>>> heard;
    play(heard);
    EXPECT_EQ(heard, want) << host << " in the host's memory, " << directory << " in the directory";
    EXPECT_LE(static_cast<int64_t>(store_.states.size()), directory);
    EXPECT_LE(used_slots(), 2);
    EXPECT_EQ(DetailOf(Create("one more")).reason, ErrorReason::kSessionsMax);
    store_.states.clear();
  }
}

TEST_F(TiersTest, CallsWithoutASessionGetTheSlotsOfIdleOnes) {
  Begin(2, 2, 0);
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(Create(id).ok());
    Say(id, Prompt(5), 5);
  }
  auto call = Submit(Generate(Prompt(9), 5));
  RunToIdle();
  EXPECT_TRUE(Drain(*call).finished->status.ok());
}

TEST_F(TiersTest, NothingIsLostWhereTheStoreFails) {
  Begin(1, 0, 3);
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Create(id).ok());
  const std::vector<std::vector<int32_t>> first = Say("a", Prompt(5), 5).tokens;
  ASSERT_TRUE(Say("b", Prompt(5), 5).finished->status.ok());
  store_.failure = absl::UnavailableError("the disk is gone");
  EXPECT_EQ(DetailOf(Say("a", {}, 5).finished->status).reason, ErrorReason::kStoreFailed);
  EXPECT_TRUE(Say("b", {}, 5).finished->status.ok());
  store_.failure = absl::OkStatus();
  clock_.Advance(Seconds(2));
  const Seen seen = Say("a", {}, 5);
  EXPECT_TRUE(seen.finished->status.ok()) << seen.finished->status;
  EXPECT_EQ(seen.finished->session_tokens, 15);
}

TEST_F(TiersTest, EachCallEndsOnceWhereTheStoreFailsAndNoSlotComesFree) {
  Begin(1, 0, 4);
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(Create(id).ok());
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Say(id, Prompt(5), 5).finished->status.ok());
  store_.failure = absl::UnavailableError("the disk is gone");
  ASSERT_TRUE(Say("c", Prompt(5), 5).finished->status.ok());  // b stays in the host's memory: no more can follow
  std::vector<std::shared_ptr<Call>> calls;
  for (const char* id : {"a", "d"}) {
    Request request = Generate(Prompt(5), 5);
    request.session = id;
    request.opening = request.prompt;
    calls.push_back(Submit(std::move(request)));
  }
  RunToIdle();
  for (const auto& call : calls) {
    EXPECT_EQ(DetailOf(Drain(*call).finished->status).reason, ErrorReason::kStoreFailed);
  }
}

TEST_F(TiersTest, ADamagedStateIsToldAndHurtsNobodyElse) {
  Begin(1, 0, 3);
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Create(id).ok());
  Say("a", Prompt(5), 5);
  Say("b", Prompt(5), 5);
  ASSERT_EQ(store_.states.count("a"), 1u);
  store_.states["a"][200] ^= 1;
  EXPECT_EQ(DetailOf(Say("a", {}, 5).finished->status).reason, ErrorReason::kSnapshotDamaged);
  EXPECT_TRUE(Say("b", {}, 5).finished->status.ok());
}

TEST_F(TiersTest, ADeletedSessionLeavesNothing) {
  Begin(1, 1, 3);
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(Create(id).ok());
    Say(id, Prompt(5), 5);
  }
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(engine_->Post([id](SessionTable& s) { EXPECT_TRUE(s.Delete(id).ok()); }).ok());
    Steps(2);
  }
  EXPECT_TRUE(store_.states.empty());
  EXPECT_EQ(used_slots(), 0);
}

TEST_F(TiersTest, AllGoToAPeerWhereSlotsAreFree) {
  std::vector<std::string> there;
  EngineOptions options;
  options.tiers.hand_over = [&there](const std::string& key, absl::string_view) {
    there.push_back(key);
    return absl::OkStatus();
  };
  Start(4, options);
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(Create(id).ok());
    Say(id, Prompt(5), 3);
  }
  engine_->Drain();
  engine_->Park();
  Steps(20);
  EXPECT_EQ(engine_->not_parked(), 0);
  EXPECT_EQ(there, (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace barista

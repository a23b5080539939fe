// Servers that create, move, advance and end sessions while calls are lost, replies are lost and calls come late: two
// never hold one session, and no state that was the newest is lost.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/store/redis_registry.h"
#include "tests/store/faulty_channel.h"
#include "tests/store/redis_server.h"

namespace barista {
namespace {

// How a server behaves that keeps to session_registry.h and redis_registry.h.
enum class Phase {
  kHeld,    // it may advance the session
  kUnsure,  // claimed, or parked without an answer: Confirm has to tell
  kEnding,  // forgotten without an answer
};
struct Copy {
  uint64_t epoch = 0;
  std::string state;
  Phase phase = Phase::kHeld;
};
struct Server {
  FaultyChannel* channel = nullptr;
  std::unique_ptr<RedisRegistry> registry;
  std::map<std::string, Copy> copies;
  std::set<std::string> perhaps_created;  // Create gave no answer: it may hold an empty session that nobody knows of
};

// What is true of a key, as its users know it.
enum class Existence { kNo, kYes, kPerhaps };
struct Truth {
  Existence exists = Existence::kNo;
  std::string newest;  // its state, where it exists
};

const std::vector<std::string> kKeys = {"x", "y"};

class RedisRegistryFaultsTest : public RedisTest {
 protected:
  void Start(int seed) {
    redis_->Command({"FLUSHALL"});
    random_.seed(seed);
    truths_.clear();
    servers_.clear();
    for (int i = 0; i < 3; ++i) {
      auto channel = std::make_unique<FaultyChannel>(redis_->Connect(), seed * 3 + i);
      channel->SetFaults(15);
      FaultyChannel* faulty = channel.get();
      servers_.push_back(
          {.channel = faulty,
           .registry = std::make_unique<RedisRegistry>(std::move(channel), "test", std::chrono::hours(1))});
    }
  }
  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

  void Act() {
    Server& server = servers_[Below(3)];
    const std::string& key = kKeys[Below(2)];
    const auto copy = server.copies.find(key);
    if (copy == server.copies.end()) return Below(3) == 0 ? Create(server, key) : Claim(server, key);
    if (copy->second.phase == Phase::kUnsure) return Confirm(server, key);
    if (copy->second.phase == Phase::kEnding) return Forget(server, key);
    switch (Below(8)) {
      case 0:
        return Forget(server, key);
      case 1:
        return Renew(server);
      case 2:
      case 3:
        copy->second.state = truths_[key].newest = absl::StrCat("state ", ++states_);
        return;
      default:
        return Park(server, key);
    }
  }

  void Create(Server& server, const std::string& key) {
    Truth& truth = truths_[key];
    const auto epoch = server.registry->Create(key);
    if (epoch.ok()) {
      ASSERT_NE(truth.exists, Existence::kYes);
      truth = {.exists = Existence::kYes, .newest = absl::StrCat("state ", ++states_)};
      server.copies[key] = {.epoch = *epoch, .state = truth.newest};
      server.perhaps_created.erase(key);
      CheckHolder(key);
    } else if (absl::IsUnavailable(epoch.status())) {
      server.perhaps_created.insert(key);
    } else {
      ASSERT_TRUE(absl::IsAlreadyExists(epoch.status())) << epoch.status();
      ASSERT_TRUE(MayExist(key));
    }
  }

  void Claim(Server& server, const std::string& key) {
    const Truth& truth = truths_[key];
    const auto claimed = server.registry->Claim(key);
    if (claimed.ok()) {
      ASSERT_EQ(truth.exists, Existence::kYes);
      ASSERT_EQ(claimed->bytes, truth.newest);
      server.copies[key] = {.epoch = claimed->epoch, .state = claimed->bytes, .phase = Phase::kUnsure};
    } else if (absl::IsNotFound(claimed.status())) {
      ASSERT_NE(truth.exists, Existence::kYes) << "a session was lost";
    } else if (!absl::IsUnavailable(claimed.status())) {
      ASSERT_TRUE(absl::IsAborted(claimed.status())) << claimed.status();
      ASSERT_TRUE(MayExist(key));
    }
  }

  void Confirm(Server& server, const std::string& key) {
    Copy& copy = server.copies[key];
    const absl::Status status = server.registry->Confirm(key, copy.epoch);
    if (status.ok()) {
      copy.phase = Phase::kHeld;
      ASSERT_EQ(copy.state, truths_[key].newest);
      CheckHolder(key);
    } else if (!absl::IsUnavailable(status)) {
      ASSERT_TRUE(absl::IsAborted(status)) << status;
      server.copies.erase(key);
    }
  }

  void Park(Server& server, const std::string& key) {
    Copy& copy = server.copies[key];
    const absl::Status status = server.registry->Park(key, copy.epoch, copy.state);
    ASSERT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
    if (status.ok()) {
      server.copies.erase(key);
    } else {
      copy.phase = Phase::kUnsure;
    }
  }

  void Forget(Server& server, const std::string& key) {
    Copy& copy = server.copies[key];
    const absl::Status status = server.registry->Forget(key, copy.epoch);
    if (absl::IsUnavailable(status)) {
      if (copy.phase == Phase::kHeld) truths_[key].exists = Existence::kPerhaps;
      copy.phase = Phase::kEnding;
      return;
    }
    if (status.ok()) {
      // An ending that was told of late must not have ended what another server created since.
      ASSERT_TRUE(copy.phase == Phase::kHeld || truths_[key].exists != Existence::kYes);
      truths_[key].exists = Existence::kNo;
    } else {
      ASSERT_TRUE(absl::IsAborted(status) && copy.phase == Phase::kEnding) << status;
    }
    server.copies.erase(key);
  }

  void Renew(Server& server) {
    std::vector<SessionRegistry::Held> held;
    for (const auto& [key, copy] : server.copies) {
      if (copy.phase == Phase::kHeld) held.push_back({key, copy.epoch});
    }
    const auto lost = server.registry->Renew(held);
    ASSERT_THAT(lost.value_or(std::vector<std::string>()), testing::IsEmpty());
  }

  bool MayExist(const std::string& key) {
    bool may = truths_[key].exists != Existence::kNo;
    for (const Server& server : servers_) may = may || server.perhaps_created.contains(key);
    return may;
  }
  void CheckHolder(const std::string& key) {
    int holders = 0;
    for (const Server& server : servers_) {
      const auto copy = server.copies.find(key);
      holders += copy != server.copies.end() && copy->second.phase == Phase::kHeld;
    }
    ASSERT_EQ(holders, 1);
  }

  // All late calls arrive, and nothing fails any more: then what exists can be had, and what was ended leaves nothing.
  void Settle() {
    for (Server& server : servers_) {
      server.channel->SetFaults(0);
      while (server.channel->DeliverLate()) {
      }
    }
    for (const std::string& key : kKeys) {
      for (Server& server : servers_) {
        if (server.perhaps_created.contains(key) && !server.copies.contains(key)) Create(server, key);
        if (!server.copies.contains(key)) continue;
        if (server.copies[key].phase == Phase::kUnsure) Confirm(server, key);
        if (server.copies.contains(key) && server.copies[key].phase == Phase::kEnding) Forget(server, key);
      }
      ASSERT_NE(truths_[key].exists, Existence::kPerhaps);
      for (Server& server : servers_) {
        if (truths_[key].exists == Existence::kYes && !server.copies.contains(key)) Claim(server, key);
        if (server.copies.contains(key) && server.copies[key].phase == Phase::kUnsure) Confirm(server, key);
        if (server.copies.contains(key)) Forget(server, key);
      }
      ASSERT_EQ(truths_[key].exists, Existence::kNo) << "nobody could get the session";
    }
    EXPECT_THAT(redis_->Keys(), testing::Each(testing::MatchesRegex("barista:test:(caller:[0-9a-f]{32}|ended|epoch)")));
  }

  std::mt19937_64 random_;
  std::vector<Server> servers_;
  std::map<std::string, Truth> truths_;
  int states_ = 0;
};

TEST_F(RedisRegistryFaultsTest, TwoServersNeverHoldASessionAndNoneIsLost) {
  for (int seed = 0; seed < Count(200); ++seed) {
    Start(seed);
    for (int i = 0; i < 300; ++i) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", call " << i);
      Act();
      if (HasFatalFailure()) return;
    }
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", at the end");
    Settle();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace barista

// Who holds a session, told case by case; redis_registry_rules_test.cc and redis_registry_faults_test.cc mix them.
#include "server/store/redis_registry.h"

#include <gmock/gmock.h>

#include "tests/store/faulty_channel.h"
#include "tests/store/redis_server.h"

namespace barista {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::UnorderedElementsAre;

// A server as the registry sees it.
struct Server {
  Server(const RedisServer& redis, milliseconds lease) {
    auto faulty = std::make_unique<FaultyChannel>(redis.Connect(), 1);
    channel = faulty.get();
    registry = std::make_unique<RedisRegistry>(std::move(faulty), "test", lease);
  }
  SessionRegistry* operator->() const { return registry.get(); }

  FaultyChannel* channel;
  std::unique_ptr<RedisRegistry> registry;
};

class RedisRegistryTest : public RedisTest {
 protected:
  static Server Alive() { return Server(*redis_, hours(1)); }
  // Its lease has ended by the time that another looks.
  static Server CutOff() { return Server(*redis_, milliseconds(0)); }
  static absl::StatusOr<std::vector<std::string>> Renew(const Server& server, const std::string& key, uint64_t epoch) {
    const std::vector<SessionRegistry::Held> held = {{.key = key, .epoch = epoch}};
    return server->Renew(held);
  }
};

TEST_F(RedisRegistryTest, ASessionMovesFromServerToServer) {
  const Server a = Alive(), b = Alive();
  const uint64_t created = *a->Create("x");
  ASSERT_TRUE(a->Park("x", created, "state 1").ok());
  EXPECT_THAT(*b->ListParked(), ElementsAre("x"));
  const auto claimed = b->Claim("x");
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  EXPECT_EQ(claimed->bytes, "state 1");
  EXPECT_GT(claimed->epoch, created);
  ASSERT_TRUE(b->Confirm("x", claimed->epoch).ok());
  EXPECT_THAT(*b->ListParked(), IsEmpty());
  EXPECT_TRUE(absl::IsAborted(a->Park("x", created, "state 0")));
  ASSERT_TRUE(b->Park("x", claimed->epoch, "state 2").ok());
  EXPECT_EQ(a->Claim("x")->bytes, "state 2");
}

TEST_F(RedisRegistryTest, ANameIsTakenWhileItsSessionIsHeldReservedOrParked) {
  const Server a = Alive(), b = Alive();
  const uint64_t epoch = *a->Create("x");
  EXPECT_TRUE(absl::IsAlreadyExists(b->Create("x").status()));
  ASSERT_TRUE(a->Park("x", epoch, "state").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(b->Create("x").status()));
  EXPECT_TRUE(absl::IsAlreadyExists(a->Create("x").status()));
  const uint64_t claimed = a->Claim("x")->epoch;
  EXPECT_TRUE(absl::IsAlreadyExists(b->Create("x").status()));
  ASSERT_TRUE(a->Forget("x", claimed).ok());
  EXPECT_GT(*b->Create("x"), claimed);
}

TEST_F(RedisRegistryTest, AHeldSessionIsNotClaimedButWanted) {
  const Server a = Alive(), b = Alive();
  const uint64_t x = *a->Create("x");
  ASSERT_TRUE(a->Create("y").ok());
  EXPECT_TRUE(absl::IsNotFound(b->Claim("z").status()));
  for (const char* key : {"y", "x", "x"}) EXPECT_TRUE(absl::IsAborted(b->Claim(key).status()));
  EXPECT_THAT(*b->TakeWanted(), IsEmpty());
  EXPECT_THAT(*a->TakeWanted(), ElementsAre("x", "y"));
  EXPECT_THAT(*a->TakeWanted(), IsEmpty());
  EXPECT_TRUE(absl::IsAborted(b->Claim("x").status()));
  ASSERT_TRUE(a->Park("x", x, "state").ok());
  EXPECT_THAT(*a->TakeWanted(), IsEmpty());  // it was given up meanwhile
}

TEST_F(RedisRegistryTest, AReservedSessionIsTheReserversAlone) {
  const Server a = Alive(), b = Alive(), c = Alive();
  ASSERT_TRUE(a->Park("x", *a->Create("x"), "state").ok());
  const uint64_t first = b->Claim("x")->epoch;
  EXPECT_TRUE(absl::IsAborted(c->Claim("x").status()));
  // Its reply may have been lost: the same server claims again, and only the newer epoch counts.
  const auto second = b->Claim("x");
  EXPECT_EQ(second->bytes, "state");
  EXPECT_TRUE(absl::IsAborted(b->Confirm("x", first)));
  EXPECT_TRUE(b->Confirm("x", second->epoch).ok());
  EXPECT_TRUE(b->Confirm("x", second->epoch).ok());
  EXPECT_TRUE(absl::IsNotFound(b->Claim("x").status()));  // it holds it; no bytes lie here
}

TEST_F(RedisRegistryTest, WhatACrashedServerReservedCanBeClaimed) {
  const Server a = Alive(), crashed = CutOff();
  ASSERT_TRUE(a->Park("x", *a->Create("x"), "state").ok());
  const uint64_t reserved = crashed->Claim("x")->epoch;
  EXPECT_TRUE(absl::IsAlreadyExists(a->Create("x").status()));
  EXPECT_EQ(a->Claim("x")->bytes, "state");
  EXPECT_TRUE(absl::IsAborted(crashed->Confirm("x", reserved)));
}

TEST_F(RedisRegistryTest, WhatACrashedServerHeldIsNotFoundAndItsNameIsFree) {
  const Server a = Alive(), crashed = CutOff();
  const uint64_t old = *crashed->Create("x");
  EXPECT_TRUE(absl::IsNotFound(a->Claim("x").status()));
  const auto created = a->Create("x");
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(absl::IsAborted(crashed->Park("x", old, "old")));
  EXPECT_TRUE(absl::IsAborted(crashed->Forget("x", old)));
  EXPECT_THAT(*Renew(crashed, "x", old), ElementsAre("x"));
  EXPECT_TRUE(a->Park("x", *created, "new").ok());
}

TEST_F(RedisRegistryTest, AServerThatNobodyReplacedGoesOnAfterItsLease) {
  const Server late = CutOff();
  const uint64_t epoch = *late->Create("x");
  EXPECT_THAT(*Renew(late, "x", epoch), IsEmpty());
  ASSERT_TRUE(late->Park("x", epoch, "state").ok());
  const uint64_t claimed = late->Claim("x")->epoch;
  EXPECT_TRUE(late->Confirm("x", claimed).ok());
  EXPECT_TRUE(late->Forget("x", claimed).ok());
}

TEST_F(RedisRegistryTest, ASessionThatEndedStaysEndedForItsFormerHolder) {
  const Server a = Alive(), crashed = CutOff();
  const uint64_t old = *crashed->Create("x");
  ASSERT_TRUE(a->Forget("x", *a->Create("x")).ok());
  EXPECT_TRUE(absl::IsAborted(crashed->Park("x", old, "old")));
  EXPECT_TRUE(absl::IsAborted(crashed->Confirm("x", old)));
  EXPECT_THAT(*Renew(crashed, "x", old), ElementsAre("x"));
  EXPECT_THAT(*a->ListParked(), IsEmpty());
}

TEST_F(RedisRegistryTest, EpochsGrowAcrossTheEndOfASession) {
  const Server a = Alive(), b = Alive();
  uint64_t newest = 0;
  for (int i = 0; i < 20; ++i) {
    const Server& server = i % 2 == 0 ? a : b;
    const uint64_t epoch = *server->Create("x");
    EXPECT_GT(epoch, newest);
    newest = epoch;
    ASSERT_TRUE(server->Forget("x", epoch).ok());
  }
}

TEST_F(RedisRegistryTest, RenewTellsWhatWasLost) {
  const Server a = Alive(), b = Alive();
  std::vector<SessionRegistry::Held> held;
  for (int i = 0; i < 2500; ++i) {  // more than one script takes
    const std::string key = "k" + std::to_string(i);
    held.push_back({key, *a->Create(key)});
  }
  EXPECT_THAT(*a->Renew(held), IsEmpty());
  for (const int i : {7, 2400}) {
    ASSERT_TRUE(a->Park(held[i].key, held[i].epoch, "state").ok());
    ASSERT_TRUE(b->Claim(held[i].key).ok());
  }
  EXPECT_THAT(*a->Renew(held), UnorderedElementsAre("k2400", "k7"));
  EXPECT_THAT(*a->Renew({}), IsEmpty());
}

TEST_F(RedisRegistryTest, RenewKeepsTheBytesOfWhatIsOnlyReserved) {
  const Server a = Alive(), b = Alive();
  ASSERT_TRUE(a->Park("x", *a->Create("x"), "state").ok());
  const uint64_t claimed = b->Claim("x")->epoch;
  EXPECT_THAT(*Renew(b, "x", claimed), IsEmpty());
  EXPECT_EQ(b->Claim("x")->bytes, "state");
}

// The reply to Park is lost, so the server cannot know: Confirm tells.
TEST_F(RedisRegistryTest, ConfirmTellsWhetherAParkedSessionIsStillThisServers) {
  const Server a = Alive(), b = Alive();
  const uint64_t epoch = *a->Create("x");
  a.channel->LoseNextReply();
  EXPECT_TRUE(absl::IsUnavailable(a->Park("x", epoch, "state")));
  ASSERT_TRUE(a->Confirm("x", epoch).ok());
  EXPECT_TRUE(absl::IsAborted(b->Claim("x").status()));
  ASSERT_TRUE(a->Park("x", epoch, "state").ok());
  EXPECT_TRUE(b->Claim("x").ok());
  EXPECT_TRUE(absl::IsAborted(a->Confirm("x", epoch)));
}

TEST_F(RedisRegistryTest, CallsWhoseReplyWasLostMayBeRepeated) {
  const Server a = Alive();
  const auto twice = [&a](const auto& call) {
    a.channel->LoseNextReply();
    EXPECT_TRUE(absl::IsUnavailable(call()));
    return call();
  };
  uint64_t epoch = 0;
  ASSERT_TRUE(twice([&] {
                const auto created = a->Create("x");
                if (created.ok()) epoch = *created;
                return created.status();
              }).ok());
  EXPECT_TRUE(twice([&] { return a->Park("x", epoch, "state"); }).ok());
  EXPECT_TRUE(twice([&] {
                const auto claimed = a->Claim("x");
                if (claimed.ok()) epoch = claimed->epoch;
                return claimed.status();
              }).ok());
  EXPECT_TRUE(twice([&] { return a->Confirm("x", epoch); }).ok());
  EXPECT_TRUE(twice([&] { return a->Forget("x", epoch); }).ok());
}

// What Redis sees long after its sender gave up: the worst are those that would undo an acknowledged Park.
TEST_F(RedisRegistryTest, LateCallsDoNothing) {
  const Server a = Alive(), b = Alive();
  uint64_t epoch = *a->Create("x");
  ASSERT_TRUE(a->Park("x", epoch, "state 0").ok());
  ASSERT_TRUE(a->Confirm("x", epoch).ok());
  ASSERT_TRUE(a->Forget("x", epoch).ok());  // Redis has all scripts now, so that it is they that come late
  epoch = *a->Create("x");
  a.channel->DelayNextCall();
  EXPECT_TRUE(absl::IsUnavailable(a->Forget("x", epoch)));
  a.channel->DelayNextCall();
  EXPECT_TRUE(absl::IsUnavailable(a->Park("x", epoch, "state 1")));
  ASSERT_TRUE(a->Confirm("x", epoch).ok());
  a.channel->DelayNextCall();
  EXPECT_TRUE(absl::IsUnavailable(a->Confirm("x", epoch)));
  ASSERT_TRUE(a->Park("x", epoch, "state 2").ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(a.channel->DeliverLate());
  EXPECT_EQ(b->Claim("x")->bytes, "state 2");
}

TEST_F(RedisRegistryTest, AFullRedisTakesNoStatesButGivesThemBack) {
  const Server a = Alive(), b = Alive();
  ASSERT_TRUE(a->Park("x", *a->Create("x"), "state").ok());
  const uint64_t y = *a->Create("y");
  redis_->Command({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_TRUE(absl::IsResourceExhausted(a->Park("y", y, "state")));
  EXPECT_TRUE(absl::IsAborted(b->Claim("y").status()));  // still held
  const auto claimed = b->Claim("x");
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  EXPECT_TRUE(b->Confirm("x", claimed->epoch).ok());
  EXPECT_TRUE(b->Create("z").ok());
  EXPECT_THAT(*Renew(a, "y", y), IsEmpty());
  EXPECT_TRUE(a->Forget("y", y).ok());
}

TEST_F(RedisRegistryTest, ServersBringBackWhatRedisForgot) {
  const Server a = Alive(), b = Alive();
  const uint64_t x = *a->Create("x"), y = *a->Create("y");
  redis_->Command({"FLUSHALL"});
  EXPECT_THAT(*Renew(a, "x", x), IsEmpty());
  EXPECT_TRUE(absl::IsAlreadyExists(b->Create("x").status()));
  ASSERT_TRUE(a->Park("y", y, "state").ok());
  const auto claimed = b->Claim("y");
  EXPECT_EQ(claimed->bytes, "state");
  EXPECT_GT(claimed->epoch, y);
}

// Redis comes back with an older state, in which a session lies parked that a server holds by now.
TEST_F(RedisRegistryTest, ARedisThatWentBackInTimeIsCorrected) {
  const Server a = Alive(), b = Alive();
  ASSERT_TRUE(a->Park("x", *a->Create("x"), "old").ok());
  const RedisValue bytes = redis_->Command({"DUMP", "barista:test:bytes:x"});
  const RedisValue session = redis_->Command({"DUMP", "barista:test:session:x"});
  const uint64_t claimed = a->Claim("x")->epoch;
  ASSERT_TRUE(a->Confirm("x", claimed).ok());
  redis_->Command({"FLUSHALL"});
  redis_->Command({"RESTORE", "barista:test:bytes:x", "0", bytes.text});
  redis_->Command({"RESTORE", "barista:test:session:x", "0", session.text});
  EXPECT_THAT(*Renew(a, "x", claimed), IsEmpty());
  EXPECT_TRUE(absl::IsAborted(b->Claim("x").status()));
  EXPECT_TRUE(a->Park("x", claimed, "new").ok());
  EXPECT_EQ(b->Claim("x")->bytes, "new");
}

TEST_F(RedisRegistryTest, WhatParkAcknowledgedSurvivesTheDeathOfRedis) {
  RedisServer durable(true);
  ASSERT_TRUE(durable.Start());
  const Server a(durable, hours(1));
  const uint64_t x = *a->Create("x"), y = *a->Create("y");
  ASSERT_TRUE(a->Park("x", x, "state").ok());
  durable.Kill();
  EXPECT_TRUE(absl::IsUnavailable(a->Park("y", y, "state")));
  ASSERT_TRUE(durable.Start());
  const Server b(durable, hours(1));
  EXPECT_EQ(b->Claim("x")->bytes, "state");
  EXPECT_TRUE(absl::IsAborted(b->Claim("y").status()));
}

TEST_F(RedisRegistryTest, OnlyWhatIsHeldIsForgottenByItself) {
  const Server a = Alive();
  const auto ttl_ms = [](const char* key) { return redis_->Command({"PTTL", key}).integer; };
  const uint64_t epoch = *a->Create("x");
  EXPECT_GT(ttl_ms("barista:test:session:x"), milliseconds(hours(1)).count());
  ASSERT_TRUE(a->Park("x", epoch, "state").ok());
  EXPECT_EQ(ttl_ms("barista:test:session:x"), -1);
  EXPECT_EQ(ttl_ms("barista:test:bytes:x"), -1);
  const uint64_t claimed = a->Claim("x")->epoch;
  EXPECT_EQ(ttl_ms("barista:test:session:x"), -1);
  ASSERT_TRUE(a->Confirm("x", claimed).ok());
  EXPECT_GT(ttl_ms("barista:test:session:x"), milliseconds(hours(1)).count());
}

TEST_F(RedisRegistryTest, NothingIsLeftOfSessionsThatEnded) {
  const Server a = Alive(), b = Alive();
  ASSERT_TRUE(a->Park("x", *a->Create("x"), "state").ok());
  const uint64_t x = b->Claim("x")->epoch, y = *a->Create("y");
  EXPECT_TRUE(absl::IsAborted(b->Claim("y").status()));
  ASSERT_TRUE(b->Forget("x", x).ok());
  ASSERT_TRUE(a->Forget("y", y).ok());
  EXPECT_THAT(redis_->Keys(), Each(MatchesRegex("barista:test:(caller:[0-9a-f]{32}|ended|epoch)")));
  EXPECT_EQ(redis_->Keys().size(), 4u);
}

}  // namespace
}  // namespace barista

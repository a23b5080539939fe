// The registry against a plain statement of its rules: random calls of servers that live and of one that is cut off.
#include <gmock/gmock.h>

#include <map>
#include <optional>
#include <random>

#include "server/store/redis_registry.h"
#include "tests/store/redis_server.h"

namespace barista {
namespace {

using absl::StatusCode;
using std::chrono::hours;
using std::chrono::milliseconds;

constexpr int kServers = 3;
bool Lives(int server) { return server < 2; }  // the others' leases have ended whenever somebody looks

// What the registry has to answer, where all calls and answers arrive.
class Rules {
 public:
  StatusCode Create(int server, const std::string& key, uint64_t epoch) {
    const Session* s = Find(key);
    if (s != nullptr && (s->bytes || RivalLives(server, *s))) return StatusCode::kAlreadyExists;
    sessions_[key] = {.epoch = epoch, .owner = server};
    epochs_[key].push_back(epoch);
    return StatusCode::kOk;
  }
  StatusCode Claim(int server, const std::string& key, uint64_t epoch) {
    Session* s = Find(key);
    if (s != nullptr && RivalLives(server, *s)) return StatusCode::kAborted;
    if (s == nullptr || !s->bytes) return StatusCode::kNotFound;
    s->epoch = epoch;
    s->owner = server;
    epochs_[key].push_back(epoch);
    return StatusCode::kOk;
  }
  StatusCode Confirm(int server, const std::string& key, uint64_t epoch) {
    return Put(key, epoch, {.epoch = epoch, .owner = server});
  }
  StatusCode Park(const std::string& key, uint64_t epoch, const std::string& bytes) {
    return Put(key, epoch, {.epoch = epoch, .bytes = bytes});
  }
  StatusCode Forget(const std::string& key, uint64_t epoch) {
    if (Session* s = Find(key); s != nullptr && s->epoch != epoch) return StatusCode::kAborted;
    sessions_.erase(key);
    return StatusCode::kOk;
  }

  std::string Bytes(const std::string& key) { return Find(key)->bytes.value_or(""); }
  std::vector<std::string> Parked() const {
    std::vector<std::string> keys;
    for (const auto& [key, session] : sessions_) {
      if (session.bytes) keys.push_back(key);
    }
    return keys;
  }
  const std::vector<uint64_t>& Epochs(const std::string& key) { return epochs_[key]; }  // all that were given out

 private:
  struct Session {
    uint64_t epoch = 0;
    std::optional<int> owner;
    std::optional<std::string> bytes;
  };

  Session* Find(const std::string& key) {
    const auto found = sessions_.find(key);
    return found == sessions_.end() ? nullptr : &found->second;
  }
  static bool RivalLives(int server, const Session& s) { return s.owner && *s.owner != server && Lives(*s.owner); }
  StatusCode Put(const std::string& key, uint64_t epoch, Session session) {
    Session* s = Find(key);
    if (s == nullptr || s->epoch != epoch) return StatusCode::kAborted;
    *s = std::move(session);
    return StatusCode::kOk;
  }

  std::map<std::string, Session> sessions_;
  std::map<std::string, std::vector<uint64_t>> epochs_;
};

class RedisRegistryRulesTest : public RedisTest {
 protected:
  void Start(int seed) {
    redis_->Command({"FLUSHALL"});
    random_.seed(seed);
    rules_ = Rules();
    servers_.clear();
    for (int i = 0; i < kServers; ++i) {
      servers_.push_back(
          std::make_unique<RedisRegistry>(redis_->Connect(), "test", Lives(i) ? hours(1) : milliseconds(0)));
    }
  }
  int Below(size_t n) { return std::uniform_int_distribution<int>(0, static_cast<int>(n) - 1)(random_); }

  // One random call, compared with the rules.
  void Call(const std::string& bytes) {
    const std::string key = std::vector<std::string>{"x", "y", "t@x"}[Below(3)];
    const int server = Below(kServers);
    SessionRegistry& registry = *servers_[server];
    const int what = Below(5);
    if (what == 0) {
      const auto epoch = registry.Create(key);
      ASSERT_EQ(epoch.status().code(), rules_.Create(server, key, epoch.value_or(0)));
    } else if (what == 1) {
      const auto claimed = registry.Claim(key);
      ASSERT_EQ(claimed.status().code(), rules_.Claim(server, key, claimed.ok() ? claimed->epoch : 0));
      ASSERT_EQ(claimed.ok() ? claimed->bytes : "", claimed.ok() ? rules_.Bytes(key) : "");
    } else if (const std::vector<uint64_t>& epochs = rules_.Epochs(key); !epochs.empty()) {
      const uint64_t epoch = Below(4) > 0 ? epochs.back() : epochs[Below(epochs.size())];
      if (what == 2) {
        ASSERT_EQ(registry.Confirm(key, epoch).code(), rules_.Confirm(server, key, epoch));
      }
      if (what == 3) {
        ASSERT_EQ(registry.Park(key, epoch, bytes).code(), rules_.Park(key, epoch, bytes));
      }
      if (what == 4) {
        ASSERT_EQ(registry.Forget(key, epoch).code(), rules_.Forget(key, epoch));
      }
    }
    ASSERT_EQ(*registry.ListParked(), rules_.Parked());
  }

  std::mt19937_64 random_;
  Rules rules_;
  std::vector<std::unique_ptr<RedisRegistry>> servers_;
};

TEST_F(RedisRegistryRulesTest, EveryCallDoesWhatTheRulesSay) {
  for (int seed = 0; seed < Count(20); ++seed) {
    Start(seed);
    for (int i = 0; i < 300; ++i) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", call " << i);
      ASSERT_NO_FATAL_FAILURE(Call("state " + std::to_string(i)));
    }
  }
}

}  // namespace
}  // namespace barista

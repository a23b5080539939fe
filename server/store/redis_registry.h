// The SessionRegistry in Redis: each call is one script, hence one atomic step. A call takes as long as the channel's
// calls may (RedisConnection: 500 ms), three times that after Redis was restarted; Renew that for each 1000 sessions.
//
//   barista:NAMESPACE:session:KEY     hash: epoch, the newest; owner, id of the server that holds it or reserved it,
//                                     empty when parked; lease_ms, when that ends, in ms by Redis's clock. A held
//                                     session's goes an hour after its lease
//   barista:NAMESPACE:bytes:KEY       the state of a parked or reserved session
//   barista:NAMESPACE:parked          set of the keys that have bytes
//   barista:NAMESPACE:wanted:SERVER   set of SERVER's keys that others asked for; goes a lease after the last
//   barista:NAMESPACE:epoch           the newest epoch of all
//   barista:NAMESPACE:ended           sorted set: key -> epoch of its end, for an hour
//
// and those of redis_scripts.h. Epochs are microseconds of Redis's clock, or the newest epoch + 1 where that is larger:
// so they grow even if Redis forgets. Of two epochs of a key the larger wins, whatever Redis remembers: after a Redis
// that lost its memory, the next Renew of each server brings back what it holds.
//
// What happens when something fails:
// - An answer is lost. Create and Claim may be called again, and give a newer epoch; Park, Confirm and Forget may be
//   repeated with the same one. After Park without an answer the session may be parked, and another server may claim
//   it: so before this server advances it further, Confirm must say that it is held.
// - A server dies, or is cut off. What it reserved can be claimed by others when its lease has ended: the bytes are
//   there. What it held is NotFound for Claim, and its name is free for Create when the lease has ended. Until somebody
//   takes it, the server itself may go on as if nothing had been, whether its lease lives or not.
// - Redis goes back to an older state (a crash, with appendfsync other than always). A session that was claimed since
//   is parked there again, with the older bytes; the server that holds it wins if it renews before another claims it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "server/store/redis_scripts.h"
#include "server/store/session_registry.h"

namespace barista {

class RedisRegistry final : public SessionRegistry {
 public:
  // `name_space` is valid (CheckRedisNamespace). A server's lease lives for `lease` after each Renew.
  RedisRegistry(std::unique_ptr<RedisChannel> channel, absl::string_view name_space,
                std::chrono::milliseconds lease = std::chrono::seconds(10));

  absl::StatusOr<uint64_t> Create(const std::string& key) override;
  absl::StatusOr<Claimed> Claim(const std::string& key) override;
  absl::Status Confirm(const std::string& key, uint64_t epoch) override;
  absl::Status Park(const std::string& key, uint64_t epoch, absl::string_view bytes) override;
  absl::Status Forget(const std::string& key, uint64_t epoch) override;
  absl::StatusOr<std::vector<std::string>> Renew(absl::Span<const Held> held) override;
  absl::StatusOr<std::vector<std::string>> TakeWanted() override;
  absl::StatusOr<std::vector<std::string>> ListParked() override;

 private:
  absl::Status RunWithEpoch(const RedisScript& script, const std::string& key, uint64_t epoch,
                            absl::string_view bytes = {});
  absl::StatusOr<std::vector<std::string>> RunForKeys(const RedisScript& script,
                                                      absl::Span<const absl::string_view> arguments);

  RedisScripts scripts_;
  const std::string lease_ms_;
};

}  // namespace barista

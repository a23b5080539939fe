// Runs Lua scripts in Redis, each of which is one atomic step, so that a call that was given up can do no harm later.
//
// A command whose reply did not come may still lie in a buffer and be executed seconds later, after newer ones of the
// same caller. So each call carries the caller's random id and a number that grows; Redis keeps the newest number and
// executes nothing older. Hence: once a call succeeded, no earlier call of the same RedisScripts takes effect.
//
// A namespace separates deployments that share one Redis. Keys that this class adds to it:
//   barista:NAMESPACE:caller:ID   number of ID's newest call; goes an hour after it
// Scripts make the names of keys themselves: one Redis, not a cluster. It must not evict (maxmemory-policy noeviction),
// and what it acknowledged survives it as far as its appendfsync goes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/store/redis_channel.h"

namespace barista {

// Errors: InvalidArgument: not 1 to 64 of a-z A-Z 0-9 - _ .
absl::Status CheckRedisNamespace(absl::string_view name);

// `shared` and `body` are one Lua chunk after a prelude (redis_scripts.cc) that gives them PREFIX,
// "barista:NAMESPACE:", ME, the caller's id, `call`, which is redis.call, and `remember`; its own arguments begin at
// ARGV[4]. A script calls remember() before its first write, or directly after a first write that Redis shall refuse
// when its memory is full: later writes are then let through. It returns strings, the first of them a word for what
// happened.
struct RedisScript {
  absl::string_view name;
  absl::string_view shared;
  absl::string_view body;
};

// One thread at a time.
class RedisScripts {
 public:
  // `name_space` is valid.
  RedisScripts(std::unique_ptr<RedisChannel> channel, absl::string_view name_space);

  // What `script`, which lives as long as this, returned; at least one string. Errors: Unavailable: no answer, or
  // another than that; ResourceExhausted: Redis's memory is full, and nothing was done.
  absl::StatusOr<std::vector<std::string>> Run(const RedisScript& script,
                                               absl::Span<const absl::string_view> arguments);

  const std::string& id() const { return id_; }  // of this caller, 128 random bits

 private:
  absl::StatusOr<RedisValue> Evaluate(const RedisScript& script, absl::Span<const absl::string_view> arguments);
  absl::Status Load(const RedisScript& script);

  const std::unique_ptr<RedisChannel> channel_;
  const std::string prefix_;
  const std::string id_;
  uint64_t calls_ = 0;
  absl::flat_hash_map<const RedisScript*, std::string> digests_;  // of the scripts that Redis was given
};

}  // namespace barista

// A connection to one Redis, made when it is first needed and again after a failure. One thread at a time.
//
// A call takes at most `timeout`, connecting included (a host name is looked up by the system, in the system's time).
// After a timeout, an error or anything unexpected the connection is closed and never used again: a late reply cannot
// be taken for another's. Then calls fail at once for a while (Breaker), so that a frozen Redis costs a thread little.
//
// No TLS and no password: Redis stays on a private network.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/breaker.h"
#include "server/store/redis_channel.h"

struct redisContext;

namespace barista {

struct RedisAddress {
  std::string host;  // without brackets
  int port = 0;
};

// HOST:PORT, an IPv6 address in brackets. Errors: InvalidArgument naming --redis, the value and what is wrong.
absl::StatusOr<RedisAddress> ParseRedisAddress(absl::string_view text);

struct RedisConnectionOptions {
  RedisAddress address;
  std::chrono::milliseconds timeout{500};
  std::function<Breaker::TimePoint()> now = std::chrono::steady_clock::now;  // the breaker's clock
};

class RedisConnection final : public RedisChannel {
 public:
  explicit RedisConnection(RedisConnectionOptions options);
  ~RedisConnection() override;

  absl::StatusOr<RedisValue> Call(absl::Span<const absl::string_view> words) override;

 private:
  using TimePoint = Breaker::TimePoint;
  struct Close {
    void operator()(redisContext* context) const;
  };

  absl::StatusOr<RedisValue> Try(absl::Span<const absl::string_view> words);
  absl::Status Connect();
  bool IsQuiet() const;
  absl::Status Send(absl::string_view bytes, TimePoint deadline);
  absl::StatusOr<RedisValue> Receive(TimePoint deadline);
  absl::Status Await(short events, TimePoint deadline) const;

  const RedisConnectionOptions options_;
  Breaker breaker_;
  std::string failure_;                           // why the breaker is open
  std::unique_ptr<redisContext, Close> context_;  // null: not connected
};

}  // namespace barista

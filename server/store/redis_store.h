// A StateStore in Redis. A call takes as long as the channel's calls may (RedisConnection: 500 ms), three times that
// after Redis was restarted. What Put acknowledged survives a crash of Redis as far as its appendfsync goes.
//
//   barista:NAMESPACE:snapshot:KEY   the bytes
//   barista:NAMESPACE:snapshots      set of all keys
//
// and those of redis_scripts.h. A call that failed takes no effect any more once a later one succeeded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/store/redis_scripts.h"
#include "server/store/state_store.h"

namespace barista {

class RedisStore final : public StateStore {
 public:
  // `name_space` is valid (CheckRedisNamespace).
  RedisStore(std::unique_ptr<RedisChannel> channel, absl::string_view name_space);

  absl::Status Put(const std::string& key, absl::string_view bytes, bool replace) override;
  absl::StatusOr<std::string> Get(const std::string& key, size_t bytes_max) override;
  absl::Status Delete(const std::string& key) override;
  absl::StatusOr<std::vector<std::string>> List() override;

 private:
  RedisScripts scripts_;
};

}  // namespace barista

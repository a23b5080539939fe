#include "server/stores.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/engine/session.h"
#include "server/observe/log.h"
#include "server/rpc/session_name.h"
#include "server/store/directory_store.h"
#include "server/store/redis_connection.h"
#include "server/store/redis_registry.h"
#include "server/store/redis_store.h"
#include "server/store/sealed_store.h"

namespace barista {
namespace {

absl::StatusOr<std::unique_ptr<StateStore>> OpenDirectory(const std::string& path, const std::string& what,
                                                          const std::optional<Sealer>& sealer) {
  absl::StatusOr<std::unique_ptr<DirectoryStore>> store = DirectoryStore::Open(absl::StrCat(path, "/", what));
  if (!store.ok()) return absl::Status(store.status().code(), absl::StrCat("state_dir: ", store.status().message()));
  std::unique_ptr<StateStore> opened = *std::move(store);
  if (sealer) opened = std::make_unique<SealedStore>(std::move(opened), *sealer, what);
  return opened;
}

// Redis need not be there yet: it is asked when it is needed.
absl::Status ConnectRedis(const ServerConfig& config, Stores& stores) {
  const absl::StatusOr<RedisAddress> address = ParseRedisAddress(config.redis);
  if (!address.ok()) return address.status();
  if (absl::Status status = CheckRedisNamespace(config.redis_namespace); !status.ok()) return status;
  const auto connection = [&] {
    return std::make_unique<RedisConnection>(
        RedisConnectionOptions{.address = *address, .timeout = std::chrono::milliseconds(config.redis_timeout_ms)});
  };
  stores.registry = std::make_unique<RedisRegistry>(connection(), config.redis_namespace);
  stores.snapshots = std::make_unique<RedisStore>(connection(), config.redis_namespace);
  if (stores.sealer) {
    stores.registry = std::make_unique<SealedRegistry>(std::move(stores.registry), *stores.sealer);
    stores.snapshots = std::make_unique<SealedStore>(std::move(stores.snapshots), *stores.sealer, "snapshots");
  }
  return absl::OkStatus();
}

absl::StatusOr<LabelledSession> ReadStored(const std::string& key, Stores& stores, const SessionFormat& format) {
  const absl::StatusOr<std::string> head = stores.sessions->Get(key, SessionFormat::kHeadBytesMax);
  if (!head.ok()) return head.status();
  return format.ReadHead(*head, TenantOf(key));
}

// The epoch of a stored session. One that died here a moment ago holds its names until its lease ends: they are waited
// for.
absl::StatusOr<uint64_t> TakeName(const std::string& key, absl::Time lease_end, SessionRegistry& registry) {
  while (true) {
    absl::StatusOr<uint64_t> created = registry.Create(key);
    if (!absl::IsAlreadyExists(created.status()) || absl::Now() > lease_end) return created;
    absl::SleepFor(absl::Milliseconds(200));
  }
}

}  // namespace

absl::StatusOr<Stores> OpenStores(const ServerConfig& config) {
  Stores stores;
  if (!config.seal_key_file.empty()) {
    absl::StatusOr<Sealer> sealer = Sealer::FromFile(config.seal_key_file);
    if (!sealer.ok()) {
      return absl::Status(sealer.status().code(), absl::StrCat("seal_key_file: ", sealer.status().message()));
    }
    stores.sealer = *std::move(sealer);
  }
  if (!config.redis.empty()) {
    if (absl::Status status = ConnectRedis(config, stores); !status.ok()) return status;
  }
  if (!config.state_dir.empty()) {
    if (mkdir(config.state_dir.c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::FailedPreconditionError(
          absl::StrCat("state_dir: cannot make ", config.state_dir, ": ", std::strerror(errno)));
    }
    absl::StatusOr<std::unique_ptr<StateStore>> sessions = OpenDirectory(config.state_dir, "sessions", stores.sealer);
    if (!sessions.ok()) return sessions.status();
    stores.sessions = *std::move(sessions);
    absl::StatusOr<std::unique_ptr<StateStore>> snapshots = OpenDirectory(config.state_dir, "snapshots", stores.sealer);
    if (!snapshots.ok()) return snapshots.status();
    if (stores.snapshots == nullptr) stores.snapshots = *std::move(snapshots);
  }
  return stores;
}

std::vector<Engine::StoredSession> FindStoredSessions(Stores& stores, const SessionFormat& format) {
  std::vector<Engine::StoredSession> found;
  if (stores.sessions == nullptr) return found;
  const absl::StatusOr<std::vector<std::string>> keys = stores.sessions->List();
  if (!keys.ok()) {
    LogError("stored sessions", {{"message", std::string(keys.status().message())}});
    return found;
  }
  const absl::Time lease_end = absl::Now() + absl::Seconds(TierOptions().lease_seconds);
  for (const std::string& key : *keys) {
    if (!IsKey(key)) continue;
    const absl::StatusOr<LabelledSession> read = ReadStored(key, stores, format);
    uint64_t epoch = 0;
    absl::Status status = read.status();
    if (status.ok() && stores.registry != nullptr) {
      const absl::StatusOr<uint64_t> created = TakeName(key, lease_end, *stores.registry);
      if (created.ok()) epoch = *created;
      status = created.status();  // another server may have one of that name by now
    }
    if (!status.ok()) {
      LogError("stored session not served", {{"message", std::string(status.message())}});
      continue;
    }
    found.push_back({key, read->copy.tokens(), read->label.made, read->label.taken, epoch});
  }
  return found;
}

}  // namespace barista

// The stores that the flags name: --state_dir, --redis, --seal_key_file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/engine/engine.h"
#include "server/engine/session_bytes.h"
#include "server/store/sealer.h"
#include "server/store/session_registry.h"
#include "server/store/state_store.h"

namespace barista {

struct Stores {
  std::optional<Sealer> sealer;
  std::unique_ptr<StateStore> sessions;       // idle sessions, under --state_dir; null without
  std::unique_ptr<StateStore> snapshots;      // in Redis, else under --state_dir; null without either
  std::unique_ptr<SessionRegistry> registry;  // null without --redis
};

// Errors name the flag.
absl::StatusOr<Stores> OpenStores(const ServerConfig& config);

// Sessions that an earlier server left in --state_dir. Those of this model. Others stay where they are; of each that
// cannot be served, a line is logged.
std::vector<Engine::StoredSession> FindStoredSessions(Stores& stores, const SessionFormat& format);

}  // namespace barista

// What the engines of one server share, each of which has a device. Built before them, and outlives them.
#pragma once

#include <cstdint>
#include <vector>

#include "server/engine/session_homes.h"
#include "server/engine/tenant_load.h"

namespace barista {

class Engine;

// What an engine could take now.
struct Vacancy {
  int64_t slots = 0;          // that it has
  int64_t free = 0;           // that neither call nor session has or will have; below 0: so many wait for one
  int64_t streams = 0;        // choices of its calls
  int64_t sessions_left = 0;  // that would fit, in all tiers
  bool open = false;          // it takes calls
};

struct EngineGroup {
  explicit EngineGroup(int count) : homes(count), engines(count) {}

  TenantLoad tenants;
  SessionHomes homes;
  std::vector<Engine*> engines;  // by number; each puts itself there before the first starts

  // Another engine that has `slots` free, the one with most of them, and room for one more session. Null: none.
  Engine* WithFree(int64_t slots, const Engine& other) const;
};

}  // namespace barista

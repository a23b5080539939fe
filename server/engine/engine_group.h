// What the engines of one server share, each of which has a device. Built before them, and outlives them.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "server/engine/prefix_cache.h"
#include "server/engine/session_homes.h"
#include "server/engine/state_cache.h"
#include "server/engine/tenant_load.h"

namespace barista {

class Engine;

// What an engine could take now.
struct Vacancy {
  int64_t slots = 0;          // that it has
  int64_t free = 0;           // that neither call nor session has or will have; below 0: so many wait for one
  int64_t for_calls = 0;      // of `slots`: that sessions leave to calls, once others have ended
  int64_t streams = 0;        // choices of its calls
  int64_t sessions_left = 0;  // that would fit, in all tiers
  bool open = false;          // it takes calls
};

struct EngineGroup {
  // states_bytes: of states kept for rewinds and for prompts that begin alike; 0: none. prefix_tokens_min: of a prompt
  // whose state is worth keeping.
  EngineGroup(int count, int64_t states_bytes, int64_t prefix_tokens_min)
      : homes(count), states(states_bytes), prefixes(states, prefix_tokens_min), engines(count) {}

  TenantLoad tenants;
  SessionHomes homes;
  StateCache states;
  const PrefixKeys prefix_keys;
  PrefixCache prefixes;
  // Calls without a session that wait for a slot, in all engines, and the slots that they could have.
  std::atomic<int64_t> waiting = 0, slots_available = 0;
  std::vector<Engine*> engines;  // by number; each puts itself there before the first starts

  // The first engine with the highest score. score(engine, vacancy): optional; none: not that one. Null: none is left.
  template <class Score>
  Engine* Best(const Score& score) const {
    Engine* best = nullptr;
    decltype(score(*best, Vacancy())) most;
    for (Engine* engine : engines) {
      const auto value = score(*engine, VacancyOf(*engine));
      if (!value || (most && *value <= *most)) continue;
      best = engine;
      most = value;
    }
    return best;
  }
  // Another engine that has `slots` free, the one with most of them, and room for one more session. Null: none.
  Engine* WithFree(int64_t slots, const Engine& other) const;
  // Another engine that has room for one more session, the one with most of it. Null: none.
  Engine* WithRoom(const Engine& other) const;
  // Another engine in which a call may wait for `slots`. Null: none.
  Engine* WithHope(int64_t slots, const Engine& other) const;

 private:
  static Vacancy VacancyOf(const Engine& engine);
};

}  // namespace barista

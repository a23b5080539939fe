// A session that outlives its calls, and the table of all of them. The engine's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/slots.h"
#include "server/engine/token_counts.h"
#include "server/text/text_stream.h"

namespace barista {

// Where a sequence is: its state's slot and what the next token needs beside it. A session's while no call runs on it,
// else the call's.
struct Sequence {
  SlotLease lease;
  int64_t position = 0;      // tokens in the state
  int32_t pending = -1;      // drawn last and not yet in the state; -1: none
  TokenCounts counts;        // kept for sessions, and where a penalty is on
  DetokenizerState decoded;  // of the text so far

  int64_t tokens() const { return position + (pending >= 0 ? 1 : 0); }
};

// A copy of a sequence in the host's memory.
struct SessionCopy {
  int64_t position = 0;
  int32_t pending = -1;
  std::vector<TokenCount> counts;  // the id seen longest ago first
  DetokenizerState decoded;
  std::string state;  // slot_bytes
};

using WallTime = std::chrono::system_clock::time_point;

struct Session {
  std::string id;
  Sequence idle;                // empty while a call runs on it
  Sequence* running = nullptr;  // the call's
  WallTime created, used;

  const Sequence& sequence() const { return running != nullptr ? *running : idle; }
};

class SessionTable {
 public:
  // All outlive it.
  SessionTable(SlotTable& slots, StatePool& pool, const StateLayout& layout)
      : slots_(slots), pool_(pool), layout_(layout) {}

  // Errors: kSessionExists, kSessionsMax.
  absl::StatusOr<const Session*> Create(const std::string& id);
  // Errors: kSessionNotFound.
  absl::StatusOr<const Session*> Find(const std::string& id) const;
  // Up to `count` sessions with ids above `after`, in order.
  std::vector<const Session*> List(const std::string& after, int64_t count) const;
  // Errors: kSessionNotFound, kSessionBusy.
  absl::Status Delete(const std::string& id);
  // Copies of `id` as it is between two steps, all or none. Errors: those of Find and Create.
  absl::StatusOr<std::vector<const Session*>> Fork(const std::string& id, absl::Span<const std::string> children);

  // To the host's memory and back. Errors: those of Find; of Create.
  absl::StatusOr<SessionCopy> Export(const std::string& id) const;
  absl::StatusOr<const Session*> Import(const std::string& id, const SessionCopy& copy);

  // A call takes the session's sequence, and gives it back when it ends. `running` stays where it is meanwhile.
  // Errors of Take: kSessionNotFound, kSessionBusy.
  absl::StatusOr<Session*> Take(const std::string& id, Sequence& running);
  void GiveBack(Session& session);
  // The call found the state to be broken: the session ends with it.
  void Drop(Session& session);

  int32_t size() const { return static_cast<int32_t>(sessions_.size()); }

 private:
  absl::StatusOr<Session*> Get(const std::string& id) const;
  absl::Status CheckRoom(int32_t sessions) const;
  Session* Add(const std::string& id);

  SlotTable& slots_;
  StatePool& pool_;
  const StateLayout& layout_;
  std::map<std::string, std::unique_ptr<Session>> sessions_;
};

}  // namespace barista

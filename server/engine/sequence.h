// One sequence of tokens: where its state lies and what the next token needs beside it; and a copy of both in the
// host's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/engine/slots.h"
#include "server/engine/token_counts.h"
#include "server/text/detokenizer.h"

namespace barista {

// A session's while no call runs on it, else the call's. The engine's thread only.
struct Sequence {
  SlotLease lease;
  int64_t position = 0;      // tokens in the state
  int32_t pending = -1;      // drawn last and not yet in the state; -1: none
  uint64_t draws = 0;        // which stream of random numbers: 0, or a fork's own
  uint32_t forks = 0;        // copies with streams of their own that it had so far
  TokenCounts counts;        // kept for sessions, and where a penalty is on
  DetokenizerState decoded;  // of the text so far

  int64_t tokens() const { return position + (pending >= 0 ? 1 : 0); }
};

// A value: whoever has it may read it on any thread.
struct SessionCopy {
  int64_t position = 0;
  int32_t pending = -1;
  uint64_t draws = 0;
  uint32_t forks = 0;
  std::vector<TokenCount> counts;  // the id seen longest ago first
  DetokenizerState decoded;
  std::shared_ptr<const std::string> state;  // slot_bytes, shared by copies of the copy
  bool finite = true;                        // false: the state holds a value that is not; nobody keeps it

  int64_t tokens() const { return position + (pending >= 0 ? 1 : 0); }
};

// All of it but the state and the lease.
inline SessionCopy CopyWithoutState(const Sequence& from) {
  return {from.position, from.pending, from.draws, from.forks, from.counts.OldestFirst(), from.decoded, nullptr};
}
// Any thread, while nobody else uses the slot.
inline void CopyState(int32_t slot, const StatePool& pool, SessionCopy& to) {
  auto state = std::make_shared<const std::string>(pool.Download(slot));
  to.finite = IsFinite(pool.layout(), *state);
  to.state = std::move(state);
}
// All of it.
inline SessionCopy CopyWithState(const Sequence& from, const StatePool& pool) {
  from.lease.AssertOwner();
  SessionCopy copy = CopyWithoutState(from);
  CopyState(from.lease.slot(), pool, copy);
  return copy;
}
inline void SetWithoutState(const SessionCopy& from, Sequence& to) {
  to.position = from.position;
  to.pending = from.pending;
  to.draws = from.draws;
  to.forks = from.forks;
  to.counts = TokenCounts::FromOldestFirst(from.counts);
  to.decoded = from.decoded;
}

}  // namespace barista

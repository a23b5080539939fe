// Which of several servers holds a session, and the states of those that none holds: what lets a session move between
// servers without two of them ever advancing it. Redis is the one kind; tests have another in memory.
//
// A session known to the registry is *held* (a server has it, and its state lies there alone) or *parked* (its state
// lies here). The way from parked to held has two steps: Claim reserves it and gives its bytes, Confirm, called when
// the bytes were checked, removes them; only then may the server advance the session. So bytes that are here are the
// session's newest, and an answer that is lost on its way loses nothing.
//
// Each claim gets a fencing epoch, larger than all before it for that key. A server that was cut off for longer than
// its lease, while another took the key, finds its epoch refused (Aborted) and drops its copy.
//
// After Unavailable the call may have been executed or not, or may yet be, but not any more once a later call
// succeeded. It may be repeated; and a server that parked a session without an answer asks Confirm before it advances
// it further, since another may have claimed it.
//
// Calls block for at most the registry's timeout (Redis: 500 ms, with the bytes of one session): they are made on a
// worker's thread. One thread at a time uses a registry. Keys as in state_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace barista {

// Errors, of all calls: Unavailable where it did not answer in time or at all.
class SessionRegistry {
 public:
  virtual ~SessionRegistry() = default;

  struct Claimed {
    uint64_t epoch = 0;
    std::string bytes;
  };
  struct Held {
    std::string key;
    uint64_t epoch = 0;
  };

  // A new session, held by this server from now on. Its epoch. Errors: AlreadyExists (held by another server whose
  // lease lives, or parked).
  virtual absl::StatusOr<uint64_t> Create(const std::string& key) = 0;
  // Reserves a parked session. Errors: NotFound; Aborted: another server holds it (and now knows that it is wanted), or
  // reserved it and its lease lives.
  virtual absl::StatusOr<Claimed> Claim(const std::string& key) = 0;
  // Removes the bytes of a session that was claimed, or parked by this server and claimed by none since: it is held
  // from now on. Errors: Aborted: the epoch is not the newest.
  virtual absl::Status Confirm(const std::string& key, uint64_t epoch) = 0;
  // Parks a session that this server holds. Errors: Aborted as for Confirm; ResourceExhausted: its memory is full.
  virtual absl::Status Park(const std::string& key, uint64_t epoch, absl::string_view bytes) = 0;
  // Ends a session that this server holds, or that it claimed. Errors: Aborted as for Confirm.
  virtual absl::Status Forget(const std::string& key, uint64_t epoch) = 0;
  // Renews the leases of what this server holds; to be called several times a lease. The keys that it lost: another has
  // them, or they are parked.
  virtual absl::StatusOr<std::vector<std::string>> Renew(absl::Span<const Held> held) = 0;
  // Keys of this server's sessions that others asked for (Claim) since the last call.
  virtual absl::StatusOr<std::vector<std::string>> TakeWanted() = 0;
  // Keys of all parked sessions, sorted.
  virtual absl::StatusOr<std::vector<std::string>> ListParked() = 0;
};

}  // namespace barista

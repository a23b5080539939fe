// Where states go when they leave the device and the host's memory: bytes under a key. A directory and Redis are the
// two kinds; tests have a faulty one.
//
// Calls block for as long as the medium takes (each kind says how long at most): they are made on a worker's thread,
// never on the engine's. One thread at a time uses a store.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

// Keys: 1 to 129 of a-z A-Z 0-9 - _ . @ (an id, or TENANT@ID). Errors, of all calls: Unavailable where the medium
// failed, ResourceExhausted where it is full; the message says what was tried and what the system said, and never holds
// a path.
class StateStore {
 public:
  virtual ~StateStore() = default;

  // Durable when it returns OK. `replace`: in one step; a reader finds the old bytes or the new ones, also after a
  // crash. After an error either may be there. Errors: AlreadyExists without `replace`.
  virtual absl::Status Put(const std::string& key, absl::string_view bytes, bool replace) = 0;
  // All bytes, or the first `bytes_max`. Errors: NotFound. What comes back is as the medium has it: the reader checks
  // it.
  virtual absl::StatusOr<std::string> Get(const std::string& key, size_t bytes_max) = 0;
  // Errors: NotFound.
  virtual absl::Status Delete(const std::string& key) = 0;
  // All keys, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
};

}  // namespace barista

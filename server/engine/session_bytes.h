// A session as bytes: what goes over the wire and into files. Little-endian, version 1:
//
//   offset  bytes  what
//   0       8      "BaristaS"
//   8       4      version, 1
//   12      4      0
//   16      32     fingerprint of the model
//   48      32     SHA-256 of the state's layout: each component's layer, kind, element type and count
//   80      8      bytes of the state, S
//   88      8      position: tokens in the state
//   96      4      id of the token drawn last and not in the state, or -1
//   100     4      counts for penalties, N <= 4096
//   104     1      1: a token of the text was seen (detokenizer)
//   105     1      bytes of an unfinished character, 0 to 3
//   106     3      those bytes, then zeros
//   109     3      0
//   112     9 N    counts, the id seen longest ago first: id (4), times drawn (4), 1: in a prompt (1)
//           S      the state, as it lies in a slot
//           32     SHA-256 of everything before
//
// The length is known from N and the running model; nothing in the bytes sizes an allocation.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/session.h"

namespace barista {

// What a session's bytes must fit to. Any thread.
class SessionFormat {
 public:
  // fingerprint: hex, of the model; vocab: ids below it.
  SessionFormat(const StateLayout& layout, absl::string_view fingerprint, int64_t vocab);

  int64_t bytes_max() const;
  std::string Write(const SessionCopy& session) const;
  // Errors: kSnapshotCorrupt, kModelMismatch, each saying what is wrong.
  absl::StatusOr<SessionCopy> Read(absl::string_view bytes) const;

 private:
  std::string fingerprint_, layout_;  // 32 bytes each
  int64_t state_bytes_, vocab_;
};

}  // namespace barista

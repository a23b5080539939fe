// A session as bytes: what goes over the wire, into files and into Redis. Little-endian, version 1:
//
//   offset   bytes  what
//   0        8      "BaristaS"
//   8        4      version, 1
//   12       4      bytes of the label, L <= 16384
//   16       32     fingerprint of the model
//   48       32     SHA-256 of the state's layout: each component's layer, kind, element type and count
//   80       8      bytes of the state, S
//   88       8      position: tokens in the state
//   96       4      id of the token drawn last and not in the state, or -1
//   100      4      counts for penalties, N <= 4096
//   104      8      stream of random numbers: 0, or a fork's own
//   112      4      copies with streams of their own that it had
//   116      1      1: a token of the text was seen (detokenizer)
//   117      1      bytes of an unfinished character, 0 to 3
//   118      3      those bytes, then zeros
//   121      7      0
//   128      L      the label: tenant and session id, each a byte count (1) and the bytes; made and taken, milliseconds
//   since
//                   1970 (8 each); tags (2), each key and value a byte count (2) and the bytes
//   128 + L  32     SHA-256 of everything before: who lists snapshots reads no further
//            9 N    counts, the id seen longest ago first: id (4), times drawn (4), 1: in a prompt (1)
//            S      the state, as it lies in a slot; the last hidden row is part of it, so nothing is computed again
//            32     SHA-256 of everything before
//
// Sampling parameters and stop rules come with each call and are not part of it. The length is known from L, N and the
// running model; nothing in the bytes sizes an allocation.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/sequence.h"
#include "server/model/state.h"

namespace barista {

using WallTime = std::chrono::system_clock::time_point;

// What is known of a session's bytes beside the session.
struct SessionLabel {
  static constexpr size_t kTagsMax = 16, kTagKeyBytesMax = 64, kTagValueBytesMax = 256;

  std::string tenant;   // at most 64 bytes
  std::string session;  // its id, at most 64 bytes
  WallTime made, taken;
  std::map<std::string, std::string> tags;  // at most kTagsMax; keys are not empty
};

struct LabelledSession {
  SessionLabel label;
  SessionCopy copy;
  int64_t bytes = 0;  // of the whole
};

// What a session's bytes must fit to. Any thread.
class SessionFormat {
 public:
  // fingerprint: hex, of the model; vocab: ids below it.
  SessionFormat(const StateLayout& layout, absl::string_view fingerprint, int64_t vocab);

  static constexpr int64_t kHeadBytesMax = 128 + 16384 + 32;
  int64_t bytes_max() const;
  std::string Write(const SessionCopy& session, const SessionLabel& label) const;
  // The copy has the state. Errors: kSnapshotCorrupt; kModelMismatch: of another model, layout or tenant. Each says
  // what is wrong.
  absl::StatusOr<LabelledSession> Read(absl::string_view bytes, absl::string_view tenant) const;
  // The same of the first kHeadBytesMax bytes, or more: the copy has neither state nor counts.
  absl::StatusOr<LabelledSession> ReadHead(absl::string_view bytes, absl::string_view tenant) const;

 private:
  struct Head;
  absl::StatusOr<Head> ParseHead(absl::string_view bytes, absl::string_view tenant) const;

  std::string fingerprint_, layout_;  // 32 bytes each
  int64_t state_bytes_, vocab_;
};

}  // namespace barista

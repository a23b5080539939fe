#include "server/engine/session_bytes.h"

#include <openssl/sha.h>

#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {
namespace {

constexpr absl::string_view kMagic = "BaristaS";
constexpr uint32_t kVersion = 1;
constexpr int64_t kHeaderBytes = 128;
constexpr int64_t kLabelBytesMax = 16384;
constexpr int64_t kNameBytesMax = 64;
constexpr int64_t kMillisecondsMax = 9'000'000'000'000;  // the year 2255: in nanoseconds it fits 64 bits
constexpr int64_t kCountBytes = 9;
constexpr int64_t kDigestBytes = SHA256_DIGEST_LENGTH;

std::string Sha256(absl::string_view bytes) {
  std::string digest(kDigestBytes, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

template <class T>
void Put(std::string& to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) to.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
}

// Reads from the front. What is not there reads as zeros and makes ok() false.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}
  absl::string_view Take(size_t count) {
    ok_ = ok_ && count <= bytes_.size();
    const absl::string_view taken = bytes_.substr(0, ok_ ? count : 0);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  template <class T>
  T Number() {
    uint64_t value = 0;
    const absl::string_view taken = Take(sizeof(T));
    for (size_t i = 0; i < taken.size(); ++i) value |= uint64_t{static_cast<unsigned char>(taken[i])} << (8 * i);
    return static_cast<T>(value);
  }
  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  absl::string_view bytes_;
  bool ok_ = true;
};

int64_t Milliseconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

std::string WriteLabel(const SessionLabel& label) {
  std::string bytes;
  for (const std::string* name : {&label.tenant, &label.session}) {
    Put<uint8_t>(bytes, name->size());
    bytes += *name;
  }
  Put<int64_t>(bytes, Milliseconds(label.made));
  Put<int64_t>(bytes, Milliseconds(label.taken));
  Put<uint16_t>(bytes, label.tags.size());
  for (const auto& [key, value] : label.tags) {
    for (const std::string* text : {&key, &value}) {
      Put<uint16_t>(bytes, text->size());
      bytes += *text;
    }
  }
  return bytes;
}

// False: out of range.
bool ReadLabel(absl::string_view bytes, SessionLabel& label) {
  Reader reader(bytes);
  for (std::string* name : {&label.tenant, &label.session}) {
    *name = std::string(reader.Take(reader.Number<uint8_t>()));
    if (name->size() > kNameBytesMax) return false;
  }
  for (WallTime* time : {&label.made, &label.taken}) {
    const int64_t milliseconds = reader.Number<int64_t>();
    if (milliseconds < 0 || milliseconds > kMillisecondsMax) return false;
    *time = WallTime(std::chrono::milliseconds(milliseconds));
  }
  const size_t tags = reader.Number<uint16_t>();
  if (tags > SessionLabel::kTagsMax) return false;
  for (size_t i = 0; i < tags; ++i) {
    const std::string key(reader.Take(reader.Number<uint16_t>()));
    const std::string value(reader.Take(reader.Number<uint16_t>()));
    if (key.empty() || key.size() > SessionLabel::kTagKeyBytesMax || value.size() > SessionLabel::kTagValueBytesMax)
      return false;
    label.tags[key] = value;
  }
  return reader.ok() && reader.at_end() && label.tags.size() == tags;
}

absl::Status Corrupt(absl::string_view what) {
  return MakeError({.reason = ErrorReason::kSnapshotCorrupt}, absl::StrCat("the session's bytes: ", what));
}

absl::Status Mismatch(absl::string_view what) {
  return MakeError({.reason = ErrorReason::kModelMismatch}, absl::StrCat("the session's bytes are of ", what));
}

}  // namespace

SessionFormat::SessionFormat(const StateLayout& layout, absl::string_view fingerprint, int64_t vocab)
    : fingerprint_(absl::HexStringToBytes(fingerprint)), state_bytes_(layout.slot_bytes()), vocab_(vocab) {
  fingerprint_.resize(32, '\0');
  std::string text;
  for (const StateComponent& c : layout.components()) {
    absl::StrAppend(&text, c.layer, " ", std::string(Name(c.kind)), " ", std::string(Name(c.dtype)), " ", c.count,
                    "\n");
  }
  layout_ = Sha256(text);
}

int64_t SessionFormat::bytes_max() const {
  return kHeadBytesMax + kCountBytes * StateLayout::kPenaltyIdsMax + state_bytes_ + kDigestBytes;
}

std::string SessionFormat::Write(const SessionCopy& session, const SessionLabel& label) const {
  const std::string label_bytes = WriteLabel(label);
  std::string bytes;
  bytes.reserve(bytes_max());
  bytes += std::string(kMagic);
  Put<uint32_t>(bytes, kVersion);
  Put<uint32_t>(bytes, label_bytes.size());
  bytes += fingerprint_;
  bytes += layout_;
  Put<uint64_t>(bytes, state_bytes_);
  Put<int64_t>(bytes, session.position);
  Put<int32_t>(bytes, session.pending);
  Put<uint32_t>(bytes, session.counts.size());
  Put<uint64_t>(bytes, session.draws);
  Put<uint32_t>(bytes, session.forks);
  Put<uint8_t>(bytes, session.decoded.started ? 1 : 0);
  Put<uint8_t>(bytes, session.decoded.pending.size());
  bytes += session.decoded.pending;
  bytes.resize(kHeaderBytes, '\0');
  bytes += label_bytes;
  bytes += Sha256(bytes);
  for (const TokenCount& count : session.counts) {
    Put<int32_t>(bytes, count.id);
    Put<int32_t>(bytes, count.in_output);
    Put<uint8_t>(bytes, count.in_prompt ? 1 : 0);
  }
  bytes += *session.state;
  bytes += Sha256(bytes);
  return bytes;
}

struct SessionFormat::Head {
  LabelledSession session;
  int64_t bytes = 0, counts = 0;
};

absl::StatusOr<SessionFormat::Head> SessionFormat::ParseHead(absl::string_view bytes, absl::string_view tenant) const {
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (size < kHeaderBytes) return Corrupt(absl::StrCat(size, " bytes, less than the header's ", kHeaderBytes));
  Reader reader(bytes);
  if (reader.Take(8) != kMagic) return Corrupt("no session: they do not begin with BaristaS");
  const uint32_t version = reader.Number<uint32_t>();
  if (version != kVersion) return Corrupt(absl::StrCat("version ", version, "; this server knows ", kVersion));
  const int64_t label_bytes = reader.Number<uint32_t>();
  const bool model = reader.Take(32) == fingerprint_, layout = reader.Take(32) == layout_;
  const uint64_t state_bytes = reader.Number<uint64_t>();
  Head head;
  SessionCopy& session = head.session.copy;
  session.position = reader.Number<int64_t>();
  session.pending = reader.Number<int32_t>();
  head.counts = reader.Number<uint32_t>();
  session.draws = reader.Number<uint64_t>();
  session.forks = reader.Number<uint32_t>();
  const uint8_t started = reader.Number<uint8_t>(), unfinished = reader.Number<uint8_t>();
  const absl::string_view character = reader.Take(3), zeros = reader.Take(7);
  if (label_bytes > kLabelBytesMax)
    return Corrupt(absl::StrCat(label_bytes, " bytes of label, limit ", kLabelBytesMax));
  head.bytes = kHeaderBytes + label_bytes + kDigestBytes;
  if (size < head.bytes) return Corrupt(absl::StrCat(size, " bytes, less than the head's ", head.bytes));
  const absl::string_view label = reader.Take(label_bytes);
  if (reader.Take(kDigestBytes) != Sha256(bytes.substr(0, head.bytes - kDigestBytes))) {
    return Corrupt("the head's checksum is wrong");
  }
  if (!model) return Mismatch("another model");
  if (!layout || state_bytes != static_cast<uint64_t>(state_bytes_)) {
    return Mismatch("another backend type, element type or --max_positions");
  }
  if (head.counts > StateLayout::kPenaltyIdsMax) return Corrupt(absl::StrCat(head.counts, " counts, limit 4096"));
  if (started > 1 || unfinished > 3 || zeros != absl::string_view("\0\0\0\0\0\0\0", 7) ||
      !ReadLabel(label, head.session.label)) {
    return Corrupt("a field of the head is out of range");
  }
  if (head.session.label.tenant != tenant) return Mismatch("another tenant");
  if (session.position < 0 || session.pending < -1 || session.pending >= vocab_) {
    return Corrupt(absl::StrCat("position ", session.position, " or token ", session.pending, " is out of range"));
  }
  session.decoded = {.pending = std::string(character.substr(0, unfinished)), .started = started == 1};
  head.session.bytes = head.bytes + kCountBytes * head.counts + state_bytes_ + kDigestBytes;
  return head;
}

absl::StatusOr<LabelledSession> SessionFormat::ReadHead(absl::string_view bytes, absl::string_view tenant) const {
  absl::StatusOr<Head> head = ParseHead(bytes, tenant);
  if (!head.ok()) return head.status();
  return std::move(head->session);
}

absl::StatusOr<LabelledSession> SessionFormat::Read(absl::string_view bytes, absl::string_view tenant) const {
  absl::StatusOr<Head> head = ParseHead(bytes, tenant);
  if (!head.ok()) return head.status();
  const int64_t size = static_cast<int64_t>(bytes.size());
  const int64_t expected = head->session.bytes;
  if (size != expected) return Corrupt(absl::StrCat(size, " bytes where ", expected, " are due"));
  if (bytes.substr(size - kDigestBytes) != Sha256(bytes.substr(0, size - kDigestBytes))) {
    return Corrupt("the checksum is wrong");
  }
  SessionCopy& session = head->session.copy;
  Reader reader(bytes.substr(head->bytes));
  absl::flat_hash_set<int32_t> seen;
  for (int64_t i = 0; i < head->counts; ++i) {
    TokenCount count = {.id = reader.Number<int32_t>(), .in_prompt = false, .in_output = reader.Number<int32_t>()};
    count.in_prompt = reader.Number<uint8_t>() == 1;
    if (count.id < 0 || count.id >= vocab_ || count.in_output < 0 || !seen.insert(count.id).second) {
      return Corrupt(absl::StrCat("count ", i, " is out of range"));
    }
    session.counts.push_back(count);
  }
  session.state = std::make_shared<const std::string>(reader.Take(state_bytes_));
  return std::move(head->session);
}

}  // namespace barista

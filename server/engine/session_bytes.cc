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
constexpr int64_t kHeaderBytes = 112;
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

// Reads from the front; the caller has checked that there is enough.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}
  absl::string_view Take(int64_t count) {
    const absl::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  template <class T>
  T Number() {
    uint64_t value = 0;
    const absl::string_view taken = Take(sizeof(T));
    for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{static_cast<unsigned char>(taken[i])} << (8 * i);
    return static_cast<T>(value);
  }

 private:
  absl::string_view bytes_;
};

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
  return kHeaderBytes + kCountBytes * StateLayout::kPenaltyIdsMax + state_bytes_ + kDigestBytes;
}

std::string SessionFormat::Write(const SessionCopy& session) const {
  std::string bytes;
  bytes.reserve(bytes_max());
  bytes += std::string(kMagic);
  Put<uint32_t>(bytes, kVersion);
  Put<uint32_t>(bytes, 0);
  bytes += fingerprint_;
  bytes += layout_;
  Put<uint64_t>(bytes, state_bytes_);
  Put<int64_t>(bytes, session.position);
  Put<int32_t>(bytes, session.pending);
  Put<uint32_t>(bytes, session.counts.size());
  Put<uint8_t>(bytes, session.decoded.started ? 1 : 0);
  Put<uint8_t>(bytes, session.decoded.pending.size());
  bytes += session.decoded.pending;
  bytes.resize(kHeaderBytes, '\0');
  for (const TokenCount& count : session.counts) {
    Put<int32_t>(bytes, count.id);
    Put<int32_t>(bytes, count.in_output);
    Put<uint8_t>(bytes, count.in_prompt ? 1 : 0);
  }
  bytes += session.state;
  bytes += Sha256(bytes);
  return bytes;
}

absl::StatusOr<SessionCopy> SessionFormat::Read(absl::string_view bytes) const {
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (size < kHeaderBytes) return Corrupt(absl::StrCat(size, " bytes, less than the header's ", kHeaderBytes));
  Reader reader(bytes);
  if (reader.Take(8) != kMagic) return Corrupt("no session: they do not begin with BaristaS");
  const uint32_t version = reader.Number<uint32_t>();
  if (version != kVersion) return Corrupt(absl::StrCat("version ", version, "; this server knows ", kVersion));
  const uint32_t reserved = reader.Number<uint32_t>();
  const bool model = reader.Take(32) == fingerprint_, layout = reader.Take(32) == layout_;
  const uint64_t state_bytes = reader.Number<uint64_t>();
  SessionCopy session;
  session.position = reader.Number<int64_t>();
  session.pending = reader.Number<int32_t>();
  const int64_t counts = reader.Number<uint32_t>();
  const uint8_t started = reader.Number<uint8_t>(), unfinished = reader.Number<uint8_t>();
  const absl::string_view character = reader.Take(3), zeros = reader.Take(3);
  if (!model) return Mismatch("another model");
  if (!layout || state_bytes != static_cast<uint64_t>(state_bytes_)) {
    return Mismatch("another backend type, element type or --max_positions");
  }
  if (counts > StateLayout::kPenaltyIdsMax) return Corrupt(absl::StrCat(counts, " counts, limit 4096"));
  const int64_t expected = kHeaderBytes + kCountBytes * counts + state_bytes_ + kDigestBytes;
  if (size != expected) return Corrupt(absl::StrCat(size, " bytes where ", expected, " are due"));
  if (bytes.substr(size - kDigestBytes) != Sha256(bytes.substr(0, size - kDigestBytes))) {
    return Corrupt("the checksum is wrong");
  }
  if (reserved != 0 || started > 1 || unfinished > 3 || zeros != absl::string_view("\0\0\0", 3)) {
    return Corrupt("a field of the header is out of range");
  }
  if (session.position < 0 || session.pending < -1 || session.pending >= vocab_) {
    return Corrupt(absl::StrCat("position ", session.position, " or token ", session.pending, " is out of range"));
  }
  session.decoded = {.pending = std::string(character.substr(0, unfinished)), .started = started == 1};
  absl::flat_hash_set<int32_t> seen;
  for (int64_t i = 0; i < counts; ++i) {
    TokenCount count = {.id = reader.Number<int32_t>(), .in_prompt = false, .in_output = reader.Number<int32_t>()};
    count.in_prompt = reader.Number<uint8_t>() == 1;
    if (count.id < 0 || count.id >= vocab_ || count.in_output < 0 || !seen.insert(count.id).second) {
      return Corrupt(absl::StrCat("count ", i, " is out of range"));
    }
    session.counts.push_back(count);
  }
  session.state = std::string(reader.Take(state_bytes_));
  return session;
}

}  // namespace barista

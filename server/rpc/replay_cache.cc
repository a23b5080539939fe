#include "server/rpc/replay_cache.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/sha.h>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {
namespace {

constexpr int64_t kMessageOverheadBytes = 64;  // of one kept message, beside its bytes
constexpr double kRetrySeconds = 1;

// Equal for equal messages: the order of a map's entries does not matter.
std::string Digest(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

// A call that was refused before it changed anything, and may not be the next time.
bool IsRefusal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsAborted(status) || absl::IsResourceExhausted(status) ||
         absl::IsUnavailable(status);
}

}  // namespace

absl::StatusOr<ReplayCache::Begun> ReplayCache::Begin(const std::string& id, const google::protobuf::Message& request) {
  Key key(request.GetDescriptor()->full_name(), id);
  std::string digest = Digest(request);
  absl::MutexLock lock(&mutex_);
  const auto [it, first] = entries_.try_emplace(key);
  Entry& entry = it->second;
  if (first) {
    entry.digest = std::move(digest);
    return Begun{.recording = std::make_shared<Recording>(*this, std::move(key))};
  }
  if (entry.digest != digest) {
    return FieldError("request_id", absl::StrCat("\"", id, "\" came before, with other content"));
  }
  if (entry.answer == nullptr) {
    return MakeError({.reason = ErrorReason::kRequestRunning, .retry_after_seconds = kRetrySeconds},
                     absl::StrCat("the first call with request_id \"", id, "\" still runs"));
  }
  if (!entry.answer->whole) {
    return FieldError("request_id", absl::StrCat("the call \"", id, "\" has run; its messages were more than ",
                                                 options_.call_bytes_max, " bytes or than there was room for"));
  }
  return Begun{.answer = entry.answer};
}

ReplayCache::Recording::~Recording() {
  if (!ended_) cache_.Forget(key_, bytes_);
}

void ReplayCache::Recording::Add(const google::protobuf::Message& message) {
  if (!answer_.whole) return;
  std::string data = message.SerializeAsString();
  const int64_t bytes = static_cast<int64_t>(data.size()) + kMessageOverheadBytes;
  if (bytes_ + bytes <= cache_.options_.call_bytes_max && cache_.Grow(bytes)) {
    bytes_ += bytes;
    answer_.messages.push_back(std::move(data));
    return;
  }
  cache_.Shrink(std::exchange(bytes_, 0));
  answer_.messages = {};
  answer_.whole = false;
}

void ReplayCache::Recording::End(const absl::Status& status) {
  ended_ = true;
  if (IsRefusal(status) && answer_.messages.empty() && answer_.whole) return cache_.Forget(key_, bytes_);
  answer_.status = status;
  cache_.Keep(key_, std::move(answer_), bytes_);
}

bool ReplayCache::Grow(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  while (bytes_ + bytes > options_.bytes_max && !answered_.empty()) EvictOldest();
  if (bytes_ + bytes > options_.bytes_max) return false;
  bytes_ += bytes;
  return true;
}

void ReplayCache::Shrink(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  bytes_ -= bytes;
}

void ReplayCache::Keep(const Key& key, Answer answer, int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[key];
  entry.answer = std::make_shared<const Answer>(std::move(answer));
  entry.bytes = bytes;
  answered_.push_back(key);
  while (answered_.size() > options_.calls_max) EvictOldest();
}

void ReplayCache::Forget(const Key& key, int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  bytes_ -= bytes;
  entries_.erase(key);
}

void ReplayCache::EvictOldest() {
  const auto it = entries_.find(answered_.front());
  bytes_ -= it->second.bytes;
  entries_.erase(it);
  answered_.pop_front();
}

}  // namespace barista

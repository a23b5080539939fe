#include "server/engine/prefix_cache.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "kernels/view.h"

namespace barista {
namespace {

constexpr size_t kSeenMax = 1 << 16;  // borders, twice

}  // namespace

PrefixKeys::PrefixKeys() {
  ABSL_RAW_CHECK(RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) == 1, "no random bytes");
}

std::vector<PrefixKey> PrefixKeys::Of(const std::string& tenant, absl::Span<const int32_t> prompt) const {
  const size_t chunk_bytes = kChunk * sizeof(int32_t);
  std::string message = "tenant " + tenant;
  std::vector<PrefixKey> keys;
  const auto hash = [&] {
    unsigned char digest[EVP_MAX_MD_SIZE];
    HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
         reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest, nullptr);
    return std::string(reinterpret_cast<char*>(digest), 32);
  };
  std::string last = hash();
  for (size_t begin = 0; begin + kChunk <= prompt.size(); begin += kChunk) {
    message = "border " + last;
    message.append(reinterpret_cast<const char*>(prompt.data() + begin), chunk_bytes);
    last = hash();
    PrefixKey key;
    std::memcpy(key.data(), last.data(), sizeof(key));
    keys.push_back(key);
  }
  return keys;
}

PrefixCache::Found PrefixCache::Find(absl::Span<const PrefixKey> keys, absl::Span<const int32_t> prompt) {
  absl::MutexLock lock(&mutex_);
  for (size_t i = keys.size(); i-- > 0;) {
    const auto it = entries_.find(keys[i]);
    if (it == entries_.end()) continue;
    std::shared_ptr<const SessionCopy> copy = it->second.copy.lock();
    const std::vector<int32_t>& tokens = it->second.tokens;
    if (copy == nullptr || tokens.size() != (i + 1) * kChunk) continue;
    if (!std::equal(tokens.begin(), tokens.end(), prompt.begin())) continue;
    states_.Touch(copy);
    return {static_cast<int64_t>(tokens.size()), std::move(copy)};
  }
  return {};
}

std::vector<int64_t> PrefixCache::Wanted(absl::Span<const PrefixKey> keys, int64_t prompt_tokens, int64_t from) {
  if (!states_.on() || keys.empty()) return {};
  absl::MutexLock lock(&mutex_);
  const auto seen = [this](const PrefixKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return seen_.contains(key) || seen_before_.contains(key);
  };
  size_t branch = 0;  // borders that an earlier prompt had too
  while (branch < keys.size() && seen(keys[branch])) ++branch;
  for (size_t i = branch; i < keys.size(); ++i) {
    if (seen_.size() >= kSeenMax) {
      seen_before_ = std::move(seen_);
      seen_.clear();
    }
    seen_[keys[i]] = true;
  }
  std::vector<int64_t> wanted;
  for (const int64_t tokens : {static_cast<int64_t>(branch) * kChunk, prompt_tokens / kChunk * kChunk}) {
    if (tokens >= tokens_min_ && tokens > from && (wanted.empty() || tokens > wanted.back())) wanted.push_back(tokens);
  }
  return wanted;
}

void PrefixCache::Keep(absl::Span<const PrefixKey> keys, absl::Span<const int32_t> prefix,
                       std::shared_ptr<const SessionCopy> copy) {
  absl::MutexLock lock(&mutex_);
  if (entries_.size() >= sweep_at_) RemoveEnded();
  Entry& entry = entries_[keys[prefix.size() / kChunk - 1]];
  if (!entry.copy.expired()) return;
  entry = {{prefix.begin(), prefix.end()}, copy};
  states_.Keep(std::move(copy));
}

void PrefixCache::RemoveEnded() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.copy.expired()) {
      entries_.erase(it++);
    } else {
      ++it;
    }
  }
  sweep_at_ = std::max<size_t>(64, 2 * entries_.size());
}

}  // namespace barista

#include "server/store/redis_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/store/redis_registry_scripts.h"

namespace barista {
namespace {

constexpr size_t kRenewKeysMax = 1000;  // of one script: Redis does nothing else while one runs

std::string Quoted(const std::string& key) { return absl::StrCat("redis: session \"", key, "\" "); }

absl::StatusOr<uint64_t> ParseEpoch(const std::vector<std::string>& answer) {
  uint64_t epoch = 0;
  if (answer.size() < 2 || !absl::SimpleAtoi(answer[1], &epoch)) {
    return absl::UnavailableError("redis: an answer without an epoch");
  }
  return epoch;
}

}  // namespace

RedisRegistry::RedisRegistry(std::unique_ptr<RedisChannel> channel, absl::string_view name_space,
                             std::chrono::milliseconds lease)
    : scripts_(std::move(channel), name_space), lease_ms_(absl::StrCat(lease.count())) {}

absl::StatusOr<uint64_t> RedisRegistry::Create(const std::string& key) {
  const auto answer = scripts_.Run(redis_registry::kCreate, {lease_ms_, key});
  if (!answer.ok()) return answer.status();
  if (answer->front() == "OK") return ParseEpoch(*answer);
  return absl::AlreadyExistsError(absl::StrCat(Quoted(key), "exists: it is parked, or another server holds it"));
}

absl::StatusOr<SessionRegistry::Claimed> RedisRegistry::Claim(const std::string& key) {
  auto answer = scripts_.Run(redis_registry::kClaim, {lease_ms_, key});
  if (!answer.ok()) return answer.status();
  if (answer->front() == "NONE") return absl::NotFoundError(absl::StrCat(Quoted(key), "is not parked"));
  if (answer->front() != "OK") {
    const bool held = answer->front() == "HELD";
    return absl::AbortedError(absl::StrCat(Quoted(key), held ? "is held" : "was claimed", " by another server"));
  }
  const absl::StatusOr<uint64_t> epoch = ParseEpoch(*answer);
  if (!epoch.ok()) return epoch.status();
  return Claimed{.epoch = *epoch, .bytes = std::move(answer->back())};
}

absl::Status RedisRegistry::Confirm(const std::string& key, uint64_t epoch) {
  return RunWithEpoch(redis_registry::kConfirm, key, epoch);
}

absl::Status RedisRegistry::Park(const std::string& key, uint64_t epoch, absl::string_view bytes) {
  return RunWithEpoch(redis_registry::kPark, key, epoch, bytes);
}

absl::Status RedisRegistry::Forget(const std::string& key, uint64_t epoch) {
  return RunWithEpoch(redis_registry::kForget, key, epoch);
}

absl::Status RedisRegistry::RunWithEpoch(const RedisScript& script, const std::string& key, uint64_t epoch,
                                         absl::string_view bytes) {
  const auto answer = scripts_.Run(script, {lease_ms_, key, absl::StrCat(epoch), bytes});
  if (!answer.ok()) return answer.status();
  if (answer->front() == "OK") return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(Quoted(key), "is another server's now; epoch ", epoch, " is not the newest"));
}

absl::StatusOr<std::vector<std::string>> RedisRegistry::Renew(absl::Span<const Held> held) {
  std::vector<std::string> lost;
  for (; !held.empty(); held.remove_prefix(std::min(held.size(), kRenewKeysMax))) {
    std::vector<std::string> epochs;
    std::vector<absl::string_view> arguments = {lease_ms_};
    const auto part = held.subspan(0, kRenewKeysMax);
    epochs.reserve(part.size());  // so that views of its strings stay
    for (const Held& session : part) {
      epochs.push_back(absl::StrCat(session.epoch));
      arguments.push_back(session.key);
      arguments.push_back(epochs.back());
    }
    auto answer = RunForKeys(redis_registry::kRenew, arguments);
    if (!answer.ok()) return answer.status();
    lost.insert(lost.end(), answer->begin(), answer->end());
  }
  return lost;
}

absl::StatusOr<std::vector<std::string>> RedisRegistry::TakeWanted() {
  return RunForKeys(redis_registry::kTakeWanted, {lease_ms_});
}

absl::StatusOr<std::vector<std::string>> RedisRegistry::ListParked() {
  return RunForKeys(redis_registry::kListParked, {lease_ms_});
}

absl::StatusOr<std::vector<std::string>> RedisRegistry::RunForKeys(const RedisScript& script,
                                                                   absl::Span<const absl::string_view> arguments) {
  auto answer = scripts_.Run(script, arguments);
  if (!answer.ok()) return answer.status();
  answer->erase(answer->begin());
  std::sort(answer->begin(), answer->end());
  return std::move(*answer);
}

}  // namespace barista

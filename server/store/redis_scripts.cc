#include "server/store/redis_scripts.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

constexpr size_t kNamespaceBytesMax = 64;

constexpr absl::string_view kPrelude = R"lua(
local PREFIX, ME, NUMBER = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call
local caller = PREFIX .. 'caller:' .. ME
if tonumber(call('GET', caller) or 0) >= tonumber(NUMBER) then return {'LATE'} end
local function remember()
  -- When memory is full, Redis refuses a script's first write if it could need more, and no other. So DEL comes first.
  call('DEL', caller)
  call('SET', caller, NUMBER, 'PX', 3600000)
end
)lua";

absl::Status Unavailable(const RedisScript& script, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("redis: ", script.name, ": ", what));
}

std::string RandomId() {
  char bytes[16];
  if (getentropy(bytes, sizeof(bytes)) != 0) std::abort();  // cannot fail for so few bytes
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

}  // namespace

absl::Status CheckRedisNamespace(absl::string_view name) {
  const bool valid =
      !name.empty() && name.size() <= kNamespaceBytesMax && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
      });
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--redis_namespace: \"", absl::CHexEscape(name), "\" is not 1 to ",
                                                 kNamespaceBytesMax, " of a-z A-Z 0-9 - _ ."));
}

RedisScripts::RedisScripts(std::unique_ptr<RedisChannel> channel, absl::string_view name_space)
    : channel_(std::move(channel)), prefix_(absl::StrCat("barista:", name_space, ":")), id_(RandomId()) {}

absl::StatusOr<std::vector<std::string>> RedisScripts::Run(const RedisScript& script,
                                                           absl::Span<const absl::string_view> arguments) {
  absl::StatusOr<RedisValue> reply = Evaluate(script, arguments);
  if (!reply.ok()) return reply.status();
  if (reply->kind == RedisValue::Kind::kError) {
    if (absl::StrContains(reply->text, "OOM command not allowed")) {
      return absl::ResourceExhaustedError(absl::StrCat("redis: ", script.name, ": its memory is full (maxmemory)"));
    }
    return Unavailable(script, reply->text);
  }
  std::vector<std::string> words;
  words.reserve(reply->elements.size());
  for (RedisValue& element : reply->elements) {
    if (element.kind != RedisValue::Kind::kString) return Unavailable(script, "an answer of another type");
    words.push_back(std::move(element.text));
  }
  if (words.empty()) return Unavailable(script, "an empty answer");
  if (words.front() == "LATE") return Unavailable(script, "came after a newer call");
  return words;
}

absl::StatusOr<RedisValue> RedisScripts::Evaluate(const RedisScript& script,
                                                  absl::Span<const absl::string_view> arguments) {
  const std::string number = absl::StrCat(++calls_);
  for (bool again : {true, false}) {
    if (!digests_.contains(&script)) {
      if (absl::Status s = Load(script); !s.ok()) return s;
    }
    std::vector<absl::string_view> words = {"EVALSHA", digests_[&script], "0", prefix_, id_, number};
    words.insert(words.end(), arguments.begin(), arguments.end());
    absl::StatusOr<RedisValue> reply = channel_->Call(words);
    const bool unknown =
        reply.ok() && reply->kind == RedisValue::Kind::kError && absl::StartsWith(reply->text, "NOSCRIPT");
    if (!unknown || !again) return reply;
    digests_.erase(&script);  // Redis was restarted
  }
  return Unavailable(script, "forgotten twice");
}

absl::Status RedisScripts::Load(const RedisScript& script) {
  const std::string text = absl::StrCat(kPrelude, script.shared, script.body);
  absl::StatusOr<RedisValue> digest = channel_->Call({"SCRIPT", "LOAD", text});
  if (!digest.ok()) return digest.status();
  if (digest->kind != RedisValue::Kind::kString) return Unavailable(script, digest->text);
  digests_[&script] = std::move(digest->text);
  return absl::OkStatus();
}

}  // namespace barista

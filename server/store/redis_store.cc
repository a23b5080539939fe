#include "server/store/redis_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

constexpr size_t kBytesMax = size_t{1} << 40;  // more than Redis's longest string

constexpr absl::string_view kShared = R"lua(
local key, index = PREFIX .. 'snapshot:' .. ARGV[4], PREFIX .. 'snapshots'
)lua";

constexpr RedisScript kPut = {"put", kShared, R"lua(
if ARGV[6] == '0' and call('EXISTS', key) == 1 then
  remember()
  return {'EXISTS'}
end
call('SET', key, ARGV[5])
remember()
call('SADD', index, ARGV[4])
return {'OK'}
)lua"};

constexpr RedisScript kGet = {"get", kShared, R"lua(
if call('EXISTS', key) == 0 then return {'NONE'} end
if ARGV[5] == '0' then return {'OK', ''} end
return {'OK', call('GETRANGE', key, 0, ARGV[5] - 1)}
)lua"};

constexpr RedisScript kDelete = {"delete", kShared, R"lua(
remember()
call('SREM', index, ARGV[4])
if call('DEL', key) == 0 then return {'NONE'} end
return {'OK'}
)lua"};

constexpr RedisScript kList = {"list", "", R"lua(
local keys = call('SMEMBERS', PREFIX .. 'snapshots')
table.insert(keys, 1, 'OK')
return keys
)lua"};

absl::Status NotFound(const std::string& key) {
  return absl::NotFoundError(absl::StrCat("redis: nothing is kept as \"", key, "\""));
}

}  // namespace

RedisStore::RedisStore(std::unique_ptr<RedisChannel> channel, absl::string_view name_space)
    : scripts_(std::move(channel), name_space) {}

absl::Status RedisStore::Put(const std::string& key, absl::string_view bytes, bool replace) {
  const auto answer = scripts_.Run(kPut, {key, bytes, replace ? "1" : "0"});
  if (!answer.ok()) return answer.status();
  if (answer->front() == "OK") return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat("redis: something is kept as \"", key, "\""));
}

absl::StatusOr<std::string> RedisStore::Get(const std::string& key, size_t bytes_max) {
  auto answer = scripts_.Run(kGet, {key, absl::StrCat(std::min(bytes_max, kBytesMax))});
  if (!answer.ok()) return answer.status();
  if (answer->size() != 2) return NotFound(key);
  return std::move(answer->back());
}

absl::Status RedisStore::Delete(const std::string& key) {
  const auto answer = scripts_.Run(kDelete, {key});
  if (!answer.ok()) return answer.status();
  return answer->front() == "OK" ? absl::OkStatus() : NotFound(key);
}

absl::StatusOr<std::vector<std::string>> RedisStore::List() {
  auto answer = scripts_.Run(kList, {});
  if (!answer.ok()) return answer.status();
  answer->erase(answer->begin());
  std::sort(answer->begin(), answer->end());
  return std::move(*answer);
}

}  // namespace barista

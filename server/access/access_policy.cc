#include "server/access/access_policy.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/engine/session_id.h"
#include "server/model/json_fields.h"
#include "server/model/strict_json.h"

namespace barista {
namespace {

using nlohmann::json;

constexpr absl::string_view kFileKeys[] = {"keys", "tenants"};
constexpr absl::string_view kKeyKeys[] = {"sha256", "tenant", "admin"};
constexpr absl::string_view kLimitKeys[] = {"weight", "sessions_max", "streams_max", "tokens_per_second",
                                            "queued_tokens_max"};

bool IsHexDigest(absl::string_view text) {
  return text.size() == 2 * std::tuple_size_v<KeyDigest> &&
         text.find_first_not_of("0123456789abcdefABCDEF") == absl::string_view::npos;
}

absl::StatusOr<ApiKey> ParseKey(const json& value, const std::string& origin) {
  JsonFields fields(value, origin);
  fields.RefuseUnknown(kKeyKeys, {});
  const std::string hex = fields.Text("sha256", "64 hexadecimal digits");
  ApiKey key = {.tenant = fields.Text("tenant", "a name"), .admin = fields.OptionalBool("admin").value_or(false)};
  if (!fields.ok()) return fields.status();
  if (!IsHexDigest(hex)) fields.Fail(absl::StrCat("sha256 is ", Quoted(hex), "; must be 64 hexadecimal digits"));
  if (absl::Status s = CheckSessionId(key.tenant, "tenant"); !s.ok()) fields.Fail(s.message());
  if (!fields.ok()) return fields.status();
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), key.digest.begin());
  return key;
}

absl::StatusOr<TenantLimits> ParseLimits(const json& value, const std::string& origin) {
  constexpr int64_t kNone = TenantLimits::kNone;
  JsonFields fields(value, origin);
  fields.RefuseUnknown(kLimitKeys, {});
  TenantLimits limits = {.weight = fields.RealOr("weight", {0.01, 1000}, 1),
                         .sessions_max = fields.IntOr("sessions_max", {0, 1 << 30}, kNone),
                         .streams_max = fields.IntOr("streams_max", {0, 1 << 20}, kNone),
                         .queued_tokens_max = fields.IntOr("queued_tokens_max", {0, int64_t{1} << 40}, kNone),
                         .tokens_per_second = fields.IntOr("tokens_per_second", {1, 1'000'000'000}, kNone)};
  if (!fields.ok()) return fields.status();
  return limits;
}

}  // namespace

absl::StatusOr<AccessPolicy> ParseAccessPolicy(absl::string_view text, absl::string_view origin) {
  const absl::StatusOr<json> file = ParseStrictJson(text, origin);
  if (!file.ok()) return file.status();
  JsonFields fields(*file, origin);
  fields.RefuseUnknown(kFileKeys, {});
  const json none = json::object();
  const json* keys = fields.List("keys", AccessPolicy::kKeysMax);
  const json* tenants = fields.Has("tenants") ? &(*file)["tenants"] : &none;
  if (!tenants->is_object()) fields.Fail(absl::StrCat("tenants is ", Shown(*tenants), "; must be an object"));
  if (tenants->size() > AccessPolicy::kTenantsMax) {
    fields.Fail(absl::StrCat("tenants has ", tenants->size(), " entries; the limit is ", AccessPolicy::kTenantsMax));
  }
  if (!fields.ok()) return fields.status();

  AccessPolicy policy;
  std::map<KeyDigest, size_t> seen;
  for (size_t i = 0; i < keys->size(); ++i) {
    const std::string where = absl::StrCat(origin, ": keys[", i, "]");
    absl::StatusOr<ApiKey> key = ParseKey((*keys)[i], where);
    if (!key.ok()) return key.status();
    const auto [first, added] = seen.emplace(key->digest, i);
    if (!added) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": sha256 stands in keys[", first->second, "] already"));
    }
    policy.keys.push_back(*std::move(key));
  }
  for (const auto& [name, value] : tenants->items()) {
    const std::string where = absl::StrCat(origin, ": tenants: ", Quoted(name));
    absl::StatusOr<TenantLimits> limits = ParseLimits(value, where);
    if (!limits.ok()) return limits.status();
    if (name == "*") {
      policy.tenants.others = *limits;
      continue;
    }
    if (absl::Status s = CheckSessionId(name, "tenant"); !s.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", s.message()));
    }
    policy.tenants.named.emplace(name, *limits);
  }
  return policy;
}

const ApiKey* AccessPolicy::Find(const KeyDigest& digest) const {
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys) {
    if (CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0) found = &key;
  }
  return found;
}

KeyDigest DigestOf(absl::string_view key) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

}  // namespace barista

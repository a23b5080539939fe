// The access file: API keys, whose they are, and what tenants may have. README.md shows one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/tenant_limits.h"

namespace barista {

using KeyDigest = std::array<uint8_t, 32>;  // SHA-256 of an API key; the keys themselves are nowhere

struct ApiKey {
  KeyDigest digest;
  std::string tenant;  // 1 to 64 of a-z A-Z 0-9 - _ .
  bool admin = false;  // may also call what tells of the whole server, and import sessions of any tenant
};

struct AccessPolicy {
  static constexpr size_t kKeysMax = 4096;  // each call looks at all of them
  static constexpr size_t kTenantsMax = 4096;

  std::vector<ApiKey> keys;
  TenantPolicy tenants;

  // The key with that digest, or null. Takes the same time whatever it is.
  const ApiKey* Find(const KeyDigest& digest) const;
};

// `text` is the file's, `origin` its path, which starts every message. Errors: InvalidArgument naming the path in the
// file ("keys[3]: tenant …"), the value and the limit, and for an unknown key the nearest known one.
absl::StatusOr<AccessPolicy> ParseAccessPolicy(absl::string_view text, absl::string_view origin);

KeyDigest DigestOf(absl::string_view key);

}  // namespace barista

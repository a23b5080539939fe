// What tenants may have at once, and how they share the engine. Values; replaced as a whole when the access file is
// read again.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>

namespace barista {

struct TenantLimits {
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  double weight = 1;                  // of its share of slots, prompt tokens and decodes where others want some too
  int64_t sessions_max = kNone;       // in all tiers of this server
  int64_t streams_max = kNone;        // choices of calls that wait or run
  int64_t queued_tokens_max = kNone;  // of prompts that wait or are being read
  int64_t tokens_per_second = kNone;  // read and drawn; above it the tenant's calls pause
};

struct TenantPolicy {
  std::map<std::string, TenantLimits> named;
  TenantLimits others;  // of tenants that are not named

  const TenantLimits& Of(const std::string& tenant) const {
    const auto it = named.find(tenant);
    return it == named.end() ? others : it->second;
  }
};

}  // namespace barista

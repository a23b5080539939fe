#include "server/access/access.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/access/access_table.h"
#include "server/engine/error.h"

namespace barista {
namespace {

constexpr absl::string_view kScheme = "bearer ";

absl::Status Unauthenticated(absl::string_view why) {
  return MakeError({.reason = ErrorReason::kUnauthenticated}, why);
}

}  // namespace

void Access::Replace(AccessPolicy policy) {
  auto replaced = std::make_shared<const AccessPolicy>(std::move(policy));
  absl::MutexLock lock(&mutex_);
  policy_.swap(replaced);
}

std::shared_ptr<const AccessPolicy> Access::policy() const {
  absl::MutexLock lock(&mutex_);
  return policy_;
}

absl::StatusOr<Caller> Access::CallerOf(absl::Span<const absl::string_view> authorization) const {
  if (authorization.empty()) return Unauthenticated("an API key is required: metadata authorization: Bearer KEY");
  if (authorization.size() > 1) return Unauthenticated("metadata authorization came more than once");
  const absl::string_view value = authorization.front();
  if (!absl::StartsWithIgnoreCase(value, kScheme)) {
    return Unauthenticated("metadata authorization is not of the form: Bearer KEY");
  }
  const std::shared_ptr<const AccessPolicy> current = policy();
  const ApiKey* key = current->Find(DigestOf(value.substr(kScheme.size())));
  if (key == nullptr) return Unauthenticated("the API key is not known");
  return Caller{key->tenant, key->admin};
}

absl::Status Access::Check(absl::string_view method, absl::Span<const absl::string_view> authorization) const {
  const std::optional<AccessRule> rule = RuleOf(absl::StripPrefix(method, "/"));
  if (rule == AccessRule::kAnybody) return absl::OkStatus();
  const absl::StatusOr<Caller> caller = CallerOf(authorization);
  if (!caller.ok()) return caller.status();
  if (!rule) return absl::UnimplementedError("there is no such method");
  if (rule == AccessRule::kAdminKey && !caller->admin) {
    return MakeError({.reason = ErrorReason::kAdminKeyRequired}, "this method needs an admin key");
  }
  return absl::OkStatus();
}

}  // namespace barista

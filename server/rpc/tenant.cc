#include "server/rpc/tenant.h"

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/session_name.h"

namespace barista {
namespace {

constexpr char kAuthorization[] = "authorization";

absl::StatusOr<std::string> NamedTenant(const grpc::CallbackServerContext& context, const std::string& key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return std::string();
  const std::string tenant(found->second.data(), found->second.size());
  if (absl::Status status = CheckSessionId(tenant, key); !status.ok()) return status;
  return tenant;
}

}  // namespace

std::vector<absl::string_view> AuthorizationOf(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  std::vector<absl::string_view> values;
  const auto [begin, end] = metadata.equal_range(kAuthorization);
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  return values;
}

absl::StatusOr<std::string> CallerTenant(const grpc::CallbackServerContext& context, const Serving& serving) {
  if (serving.access == nullptr) {
    return serving.tenant_header.empty() ? std::string() : NamedTenant(context, serving.tenant_header);
  }
  absl::StatusOr<Caller> caller = serving.access->CallerOf(AuthorizationOf(context.client_metadata()));
  if (!caller.ok()) return caller.status();
  return caller->tenant;
}

absl::StatusOr<std::string> ImportTenant(const grpc::CallbackServerContext& context, const Serving& serving) {
  if (serving.access == nullptr) return CallerTenant(context, serving);
  const absl::StatusOr<Caller> caller = serving.access->CallerOf(AuthorizationOf(context.client_metadata()));
  if (!caller.ok()) return caller.status();
  const absl::StatusOr<std::string> named = NamedTenant(context, kImportTenantKey);
  if (!named.ok()) return named.status();
  if (named->empty() || *named == caller->tenant) return caller->tenant;
  if (caller->admin) return named;
  return MakeError({.reason = ErrorReason::kAdminKeyRequired},
                   absl::StrCat("metadata ", kImportTenantKey, ": only an admin key may import for another tenant"));
}

absl::Status BindTenant(const grpc::CallbackServerContext& context, const Serving& serving, Request& request) {
  absl::StatusOr<std::string> tenant = CallerTenant(context, serving);
  if (!tenant.ok()) return tenant.status();
  request.tenant = *std::move(tenant);
  if (!request.session.empty()) request.session = KeyOf(request.tenant, request.session);
  return absl::OkStatus();
}

absl::StatusOr<std::string> CheckedKey(const grpc::CallbackServerContext& context, const Serving& serving,
                                       const absl::Status& checked, const std::string& id) {
  if (!checked.ok()) return checked;
  absl::StatusOr<std::string> tenant = CallerTenant(context, serving);
  if (!tenant.ok()) return tenant.status();
  return KeyOf(*tenant, id);
}

absl::StatusOr<std::string> CheckedSessionKey(const grpc::CallbackServerContext& context, const Serving& serving,
                                              const std::string& name) {
  const absl::StatusOr<std::string> id = ParseSessionName(name, "name");
  return CheckedKey(context, serving, id.status(), id.ok() ? *id : "");
}

absl::StatusOr<std::string> CheckedSnapshotKey(const grpc::CallbackServerContext& context, const Serving& serving,
                                               const std::string& name, absl::string_view field) {
  const absl::StatusOr<std::string> id = ParseSnapshotName(name, field);
  return CheckedKey(context, serving, id.status(), id.ok() ? *id : "");
}

}  // namespace barista

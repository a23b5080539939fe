#include "server/rpc/tenant.h"

#include "server/rpc/session_name.h"

namespace barista {

absl::StatusOr<std::string> CallerTenant(const grpc::CallbackServerContext& context, const Serving& serving) {
  if (serving.tenant_header.empty()) return std::string();
  const auto found = context.client_metadata().find(serving.tenant_header);
  if (found == context.client_metadata().end()) return std::string();
  const std::string tenant(found->second.data(), found->second.size());
  if (absl::Status status = CheckSessionId(tenant, serving.tenant_header); !status.ok()) return status;
  return tenant;
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

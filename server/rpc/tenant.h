// Whose a call is. Tenants share nothing: another's session, snapshot or kept prefix does not exist.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/request.h"
#include "server/rpc/serving.h"

namespace barista {

// The tenant of the call's API key, where the server asks for one, and then of nothing else: kUnauthenticated where it
// is no longer known. Else the value of the metadata key `tenant_header`, which whoever authenticates the caller sets
// (and strips from the outside); empty where the server has none or the call brings none: kInvalidField names the key.
absl::StatusOr<std::string> CallerTenant(const grpc::CallbackServerContext& context, const Serving& serving);

// Whose the session is that ImportSession makes: the caller's, or, with an admin key, that of the tenant in this
// metadata key, which a server that hands its sessions over sets. Errors: also kAdminKeyRequired.
inline constexpr char kImportTenantKey[] = "x-barista-tenant";
absl::StatusOr<std::string> ImportTenant(const grpc::CallbackServerContext& context, const Serving& serving);

// All values of `authorization`.
std::vector<absl::string_view> AuthorizationOf(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

// Makes a parsed request its caller's: the tenant, and the session's id as its key.
absl::Status BindTenant(const grpc::CallbackServerContext& context, const Serving& serving, Request& request);

// The caller's key of an id that `checked` speaks well of; of a name such as "sessions/ID".
absl::StatusOr<std::string> CheckedKey(const grpc::CallbackServerContext& context, const Serving& serving,
                                       const absl::Status& checked, const std::string& id);
absl::StatusOr<std::string> CheckedSessionKey(const grpc::CallbackServerContext& context, const Serving& serving,
                                              const std::string& name);
absl::StatusOr<std::string> CheckedSnapshotKey(const grpc::CallbackServerContext& context, const Serving& serving,
                                               const std::string& name, absl::string_view field);

}  // namespace barista

// Whose a call is. Tenants share nothing: another's session, snapshot or kept prefix does not exist.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/statusor.h"
#include "server/engine/request.h"
#include "server/rpc/serving.h"

namespace barista {

// The value of the metadata key `tenant_header`, which whoever authenticates the caller sets (and strips from the
// outside); empty where the server has none or the call brings none. Errors: kInvalidField naming the key.
absl::StatusOr<std::string> CallerTenant(const grpc::CallbackServerContext& context, const Serving& serving);

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

#include "server/rpc/session_name.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/engine/error.h"
#include "server/engine/session.h"

namespace barista {
namespace {

constexpr absl::string_view kSessions = "sessions/", kSnapshots = "snapshots/";
constexpr size_t kIdBytesMax = 64;

absl::StatusOr<std::string> ParseName(absl::string_view name, absl::string_view prefix, absl::string_view what,
                                      absl::string_view field) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, prefix)) {
    return FieldError(field, absl::StrCat("\"", absl::CHexEscape(name.substr(0, 2 * kIdBytesMax)),
                                          "\" is no name of a ", what, ": ", prefix, "ID is wanted"));
  }
  if (absl::Status status = CheckSessionId(id, field); !status.ok()) return status;
  return std::string(id);
}

}  // namespace

absl::StatusOr<std::string> ParseSessionName(absl::string_view name, absl::string_view field) {
  return ParseName(name, kSessions, "session", field);
}

absl::StatusOr<std::string> ParseSnapshotName(absl::string_view name, absl::string_view field) {
  return ParseName(name, kSnapshots, "snapshot", field);
}

std::string SessionName(absl::string_view id) { return absl::StrCat(kSessions, id); }

std::string SnapshotName(absl::string_view id) { return absl::StrCat(kSnapshots, id); }

std::string KeyOf(absl::string_view tenant, absl::string_view id) { return absl::StrCat(tenant, "@", id); }

bool IsKey(absl::string_view key) {
  const std::string id = SessionIdOf(key);
  return key == KeyOf(TenantOf(key), id) && CheckSessionId(id, "").ok();
}

}  // namespace barista

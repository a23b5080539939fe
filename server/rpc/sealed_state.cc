#include "server/rpc/sealed_state.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/engine/positions.h"

namespace barista {
namespace {

// Bytes sealed for something else, such as a snapshot, are no sealed state.
std::string IdentityOf(const std::string& tenant) { return absl::StrCat("barista sealed state of ", tenant); }

}  // namespace

std::string SealState(const SessionCopy& copy, const std::string& tenant, const Serving& serving) {
  const WallTime now = std::chrono::system_clock::now();
  const std::string bytes = serving.format.Write(copy, {.tenant = tenant, .made = now, .taken = now});
  return serving.sealer->Seal(bytes, IdentityOf(tenant));
}

absl::Status OpenSealedState(const v1::GenerateRequest& message, const Serving& serving, Request& request) {
  if (!message.has_sealed_state()) return absl::OkStatus();
  const absl::StatusOr<std::string> bytes = serving.sealer->Open(message.sealed_state(), IdentityOf(request.tenant));
  if (!bytes.ok()) {
    return MakeError({.reason = ErrorReason::kSealedStateRefused},
                     "sealed_state: altered, or sealed with another key or for another tenant");
  }
  absl::StatusOr<LabelledSession> read = serving.format.Read(*bytes, request.tenant);
  if (!read.ok()) return read.status();
  if (absl::Status status = CheckPositions(read->copy.tokens(), "the sealed state", request.prompt.size(), request.stop,
                                           serving.limits.positions_max);
      !status.ok()) {
    return status;
  }
  request.start = std::make_shared<const SessionCopy>(std::move(read->copy));
  return absl::OkStatus();
}

}  // namespace barista

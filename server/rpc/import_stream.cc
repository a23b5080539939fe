#include "server/rpc/import_stream.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/session_name.h"
#include "server/rpc/status_map.h"
#include "server/rpc/strict_methods.h"

namespace barista {

ImportStream::ImportStream(grpc::CallbackServerContext* context, const Serving& serving, const SessionFormat& format,
                           std::function<void(const Session&)> fill)
    : serving_(serving), context_(*context), format_(format), fill_(std::move(fill)), id_(DrawnSessionId()) {
  StartRead(&message_);
}

void ImportStream::OnReadDone(bool ok) {
  absl::Status status;
  v1::ImportSessionRequest message;
  if (!ok) {
    if (context_.IsCancelled()) return End(MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller"));
    status = Make();
    if (!status.ok()) End(status);
    return;
  }
  status = ParseBytes(message_, message) ? Take(message) : Malformed();
  if (!status.ok()) return End(status);
  StartRead(&message_);
}

absl::Status ImportStream::Take(const v1::ImportSessionRequest& message) {
  if (message.has_session_id()) {
    if (!first_) return FieldError("session_id", "only in the first message");
    if (absl::Status status = CheckSessionId(message.session_id(), "session_id"); !status.ok()) return status;
    id_ = message.session_id();
  }
  first_ = false;
  if (static_cast<int64_t>(bytes_.size() + message.data().size()) > format_.bytes_max()) {
    return MakeError({.reason = ErrorReason::kSnapshotCorrupt},
                     absl::StrCat("the session's bytes: more than ", format_.bytes_max(), ", the most of this model"));
  }
  bytes_ += message.data();
  return absl::OkStatus();
}

absl::Status ImportStream::Make() {
  absl::StatusOr<SessionCopy> copy = format_.Read(bytes_);
  if (!copy.ok()) return copy.status();
  const auto shared = std::make_shared<SessionCopy>(*std::move(copy));
  return serving_.engine.Post([this, shared](SessionTable& sessions) {
    const absl::StatusOr<const Session*> session = sessions.Import(id_, *shared);
    if (session.ok()) fill_(**session);
    End(session.status());
  });
}

void ImportStream::End(const absl::Status& status) {
  RecordEnd(status, serving_.metrics);
  RecordNoSlot(status, serving_.metrics);
  Finish(ToGrpcStatus(status));
}

}  // namespace barista

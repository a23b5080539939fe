#include "server/rpc/import_stream.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/request.h"
#include "server/rpc/session_name.h"
#include "server/rpc/status_map.h"
#include "server/rpc/strict_methods.h"
#include "server/rpc/tenant.h"
#include "server/words/drawn_id.h"

namespace barista {

ImportStream::ImportStream(grpc::CallbackServerContext* context, const Serving& serving,
                           std::function<void(const Session&)> fill)
    : serving_(serving),
      record_(*context, "ImportSession", serving.metrics),
      context_(*context),
      fill_(std::move(fill)),
      id_(DrawnId()) {
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
  if (static_cast<int64_t>(bytes_.size() + message.data().size()) > serving_.format.bytes_max()) {
    return MakeError(
        {.reason = ErrorReason::kSnapshotCorrupt},
        absl::StrCat("the session's bytes: more than ", serving_.format.bytes_max(), ", the most of this model"));
  }
  bytes_ += message.data();
  return absl::OkStatus();
}

absl::Status ImportStream::Make() {
  if (absl::Status status = CheckTask(Task::kCausalLm, serving_); !status.ok()) return status;
  const absl::StatusOr<std::string> tenant = ImportTenant(context_, serving_);
  if (!tenant.ok()) return tenant.status();
  absl::StatusOr<LabelledSession> read = serving_.format.Read(bytes_, *tenant);
  if (!read.ok()) return read.status();
  const auto copy = std::make_shared<const SessionCopy>(std::move(read->copy));
  return serving_.engines.PostNew(KeyOf(*tenant, id_), [=, this](SessionTable& sessions, const auto& epochs) {
    absl::Status status = epochs.status();
    if (epochs.ok()) {
      const absl::StatusOr<Session*> session = sessions.Import(KeyOf(*tenant, id_), copy, epochs->front());
      if (session.ok()) fill_(**session);
      status = session.status();
    }
    End(status);
    return status;
  });
}

void ImportStream::End(const absl::Status& status) {
  record_.End(status);
  RecordNoSlot(status, serving_.metrics);
  Finish(ToGrpcStatus(status));
}

}  // namespace barista

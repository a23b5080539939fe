#include "server/rpc/export_stream.h"

#include <algorithm>
#include <utility>

#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/session_name.h"
#include "server/rpc/status_map.h"

namespace barista {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

ExportStream::ExportStream(const v1::ExportSessionRequest& request, const Serving& serving, const SessionFormat& format)
    : serving_(serving), format_(format) {
  const absl::StatusOr<std::string> id = ParseSessionName(request.name(), "name");
  absl::Status status = id.status();
  if (status.ok()) {
    status = serving.engine.Post([this, id](SessionTable& sessions) {
      absl::StatusOr<SessionCopy> copy = sessions.Export(*id);
      if (!copy.ok()) return End(copy.status());
      copy_ = *std::move(copy);
      StartSendInitialMetadata();  // its end comes on a thread of gRPC's: the engine must not hash
    });
  }
  if (!status.ok()) End(status);
}

void ExportStream::OnSendInitialMetadataDone(bool ok) {
  if (!ok) return End(MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller"));
  bytes_ = format_.Write(copy_);
  copy_ = SessionCopy();
  WriteNext();
}

void ExportStream::WriteNext() {
  const size_t count = std::min(kPieceBytes, bytes_.size() - written_);
  if (count == 0) return End(absl::OkStatus());
  message_.set_data(bytes_.substr(written_, count));
  written_ += count;
  StartWrite(&message_);
}

void ExportStream::OnWriteDone(bool ok) {
  if (!ok) return End(MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller"));
  WriteNext();
}

void ExportStream::End(const absl::Status& status) {
  RecordEnd(status, serving_.metrics);
  Finish(ToGrpcStatus(status));
}

}  // namespace barista

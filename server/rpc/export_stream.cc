#include "server/rpc/export_stream.h"

#include <algorithm>
#include <utility>

#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/request.h"
#include "server/rpc/status_map.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

ExportStream::ExportStream(grpc::CallbackServerContext& context, const v1::ExportSessionRequest& request,
                           const Serving& serving)
    : serving_(serving), record_(context, "ExportSession", serving.metrics) {
  const absl::StatusOr<std::string> key = CheckedSessionKey(context, serving, request.name());
  absl::Status status = key.status();
  if (status.ok()) status = CheckTask(Task::kCausalLm, serving);
  if (status.ok()) {
    status = serving.engines.PostFor(*key, [this, key = *key](SessionTable& sessions, const absl::Status& brought) {
      if (!brought.ok()) return End(brought);
      absl::StatusOr<std::shared_ptr<const SessionCopy>> copy = sessions.Export(key);
      if (!copy.ok()) return End(copy.status());
      copy_ = *std::move(copy);
      label_ = {.tenant = TenantOf(key),
                .session = SessionIdOf(key),
                .made = (*sessions.Find(key))->made,
                .taken = std::chrono::system_clock::now()};
      StartSendInitialMetadata();  // its end comes on a thread of gRPC's: the engine must not hash
    });
  }
  if (!status.ok()) End(status);
}

void ExportStream::OnSendInitialMetadataDone(bool ok) {
  if (!ok) return End(MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller"));
  bytes_ = serving_.format.Write(*copy_, label_);
  copy_ = nullptr;
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
  record_.End(status);
  Finish(ToGrpcStatus(status));
}

}  // namespace barista

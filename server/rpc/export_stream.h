// One ExportSession call: the engine copies the session between two steps, this makes bytes of it and writes them.
#pragma once

#include <grpcpp/grpcpp.h>

#include "barista/v1/session.grpc.pb.h"
#include "server/engine/session_bytes.h"
#include "server/rpc/call_record.h"
#include "server/rpc/serving.h"

namespace barista {

// Deletes itself when gRPC is done with it.
class ExportStream final : public grpc::ServerWriteReactor<v1::ExportSessionResponse> {
 public:
  ExportStream(grpc::CallbackServerContext& context, const v1::ExportSessionRequest& request, const Serving& serving);

 private:
  void OnSendInitialMetadataDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override { delete this; }
  void WriteNext();
  void End(const absl::Status& status);

  const Serving& serving_;
  CallRecord record_;
  SessionLabel label_;
  std::shared_ptr<const SessionCopy> copy_;
  std::string bytes_;
  size_t written_ = 0;
  v1::ExportSessionResponse message_;
};

}  // namespace barista

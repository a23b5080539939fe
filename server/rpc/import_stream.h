// One ImportSession call: gathers the bytes, checks them whole, and only then asks the engine for a slot.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "barista/v1/session.grpc.pb.h"
#include "server/engine/session_bytes.h"
#include "server/rpc/call_record.h"
#include "server/rpc/serving.h"

namespace barista {

// Deletes itself when gRPC is done with it. Messages come as bytes: see strict_methods.h.
class ImportStream final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  // `fill`: what the answer says of the new session, on the engine's thread.
  ImportStream(grpc::CallbackServerContext* context, const Serving& serving, std::function<void(const Session&)> fill);

 private:
  void OnReadDone(bool ok) override;
  void OnDone() override { delete this; }
  absl::Status Take(const v1::ImportSessionRequest& message);
  absl::Status Make();
  void End(const absl::Status& status);

  const Serving& serving_;
  CallRecord record_;
  grpc::CallbackServerContext& context_;
  const std::function<void(const Session&)> fill_;
  grpc::ByteBuffer message_;
  std::string id_, bytes_;
  bool first_ = true;
};

}  // namespace barista

// One RewindSession call: a call in the engine, for it may replay tokens, then an answer that shows the session.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>

#include "barista/v1/session.grpc.pb.h"
#include "server/rpc/event_pump.h"
#include "server/rpc/serving.h"

namespace barista {

// Deletes itself when gRPC is done with it.
class RewindCall final : public grpc::ServerUnaryReactor {
 public:
  // `fill`: what the answer says of the session, on the engine's thread.
  RewindCall(const grpc::CallbackServerContext& context, const v1::RewindSessionRequest& request,
             v1::RewindSessionResponse& response, const Serving& serving, std::function<void(const Session&)> fill);

 private:
  void OnDone() override;
  void Pump();
  void Show(const std::string& key);
  void End(const absl::Status& status);

  const Serving& serving_;
  v1::RewindSessionResponse& response_;
  const std::function<void(const Session&)> fill_;
  EventPump pump_;
};

}  // namespace barista

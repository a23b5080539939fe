// A Score or Classify call: collects the engine's events and answers once.
#pragma once

#include <grpcpp/grpcpp.h>

#include "barista/v1/inference.grpc.pb.h"
#include "server/rpc/call_record.h"
#include "server/rpc/event_pump.h"
#include "server/rpc/serving.h"

namespace barista {

// Deletes itself when gRPC is done with it. `Fill` turns one event into a part of the response.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // `request`: what parsing gave. `on_event` runs on the delivery worker, one call at a time.
  UnaryCall(grpc::CallbackServerContext& context, const char* method, absl::StatusOr<Request> request,
            const Serving& serving, std::function<void(const Request& request, Event event)> on_event);

 private:
  void OnCancel() override { pump_.Cancel(); }
  void OnDone() override;
  void Pump();
  void End(const absl::Status& status);

  CallRecord record_;
  const std::function<void(const Request&, Event)> on_event_;
  EventPump pump_;
  absl::Mutex mutex_;  // one Pump at a time
};

}  // namespace barista

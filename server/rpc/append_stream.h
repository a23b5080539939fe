// One Append call: messages are read as fast as the engine takes their tokens, and the answer comes at the end.
#pragma once

#include <grpcpp/grpcpp.h>

#include "barista/v1/inference.grpc.pb.h"
#include "server/rpc/call_record.h"
#include "server/rpc/event_pump.h"
#include "server/rpc/serving.h"

namespace barista {

// Deletes itself when gRPC is done with it. Messages come as bytes: see strict_methods.h.
class AppendStream final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  AppendStream(grpc::CallbackServerContext* context, v1::AppendResponse* response, const Serving& serving);

 private:
  void OnReadDone(bool ok) override;
  void OnCancel() override { pump_.Cancel(); }
  void OnDone() override;

  void Pump();          // the delivery worker
  absl::Status Take();  // the message that was read
  absl::Status Last();  // none will follow
  void CountFed(size_t tokens);
  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Serving& serving_;
  CallRecord record_;
  grpc::CallbackServerContext& context_;
  v1::AppendResponse& response_;
  EventPump pump_;
  grpc::ByteBuffer bytes_;
  std::string session_;  // the name, while a call is in the engine; of OnReadDone alone

  absl::Mutex mutex_;
  int64_t fed_ ABSL_GUARDED_BY(mutex_) = 0;        // tokens given to the engine
  int64_t taken_ ABSL_GUARDED_BY(mutex_) = 0;      // tokens that it has read
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;   // a read is under way, or its message is taken
  bool all_read_ ABSL_GUARDED_BY(mutex_) = false;  // the caller has sent everything
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace barista

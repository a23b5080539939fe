// One Generate stream: a reactor that writes the engine's events as messages, one write in flight. A slow reader leaves
// events in the call's outbox, which pauses that call alone.
#pragma once

#include <grpcpp/grpcpp.h>

#include "barista/v1/inference.grpc.pb.h"
#include "server/rpc/call_record.h"
#include "server/rpc/chunk_joiner.h"
#include "server/rpc/event_pump.h"
#include "server/rpc/serving.h"

namespace barista {

// Deletes itself when gRPC is done with it.
class GenerateStream final : public grpc::ServerWriteReactor<v1::GenerateResponse> {
 public:
  // What is wrong with `message` becomes the stream's status.
  GenerateStream(grpc::CallbackServerContext* context, const v1::GenerateRequest* message, const Serving& serving);

 private:
  void OnWriteDone(bool ok) override;
  void OnCancel() override { pump_.Cancel(); }
  void OnDone() override;

  void Pump();  // writes the next message where none is in flight
  // With a session and a request_id: a first call is recorded from here on, a repeat has what it replays.
  absl::Status BeginOnce(const std::string& tenant);
  // Fills message_ from waiting events, and ending_ with the last; false: nothing to write.
  bool NextMessage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool NextEcho() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddLogprobs(PromptLogprobs logprobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SealAndWrite(std::shared_ptr<const SessionCopy> state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Serving& serving_;
  CallRecord record_;
  v1::GenerateRequest message_in_;
  EventPump pump_;
  std::shared_ptr<ReplayCache::Recording> recording_;  // of a first call
  std::shared_ptr<const ReplayCache::Answer> replay_;  // of a repeat

  absl::Mutex mutex_;
  v1::GenerateResponse message_ ABSL_GUARDED_BY(mutex_);
  ChunkJoiner chunks_ ABSL_GUARDED_BY(mutex_);
  size_t replayed_ ABSL_GUARDED_BY(mutex_) = 0;  // messages of replay_ sent
  int64_t echoed_ ABSL_GUARDED_BY(mutex_) = 0;   // prompt ids sent
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;                 // the reader is gone: messages are dropped
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;               // Finish was called
  std::optional<absl::Status> ending_ ABSL_GUARDED_BY(mutex_);  // after the message in flight
};

}  // namespace barista

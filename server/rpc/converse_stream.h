// One Converse stream: its actions run in order, one call of the engine at a time, and what they bring is written with
// one write in flight. A slow reader leaves events in the running call's outbox, which pauses that call alone; a caller
// that sends faster than its actions run is not read from.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "barista/v1/inference.grpc.pb.h"
#include "server/rpc/call_record.h"
#include "server/rpc/chunk_joiner.h"
#include "server/rpc/converse_request.h"
#include "server/rpc/event_pump.h"
#include "server/rpc/serving.h"

namespace barista {

// Messages come as bytes: see strict_methods.h.
class ConverseStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, v1::ConverseResponse>,
                             public std::enable_shared_from_this<ConverseStream> {
 public:
  // The stream belongs to itself until gRPC is done with it, and to whatever the engine still runs for it.
  static ConverseStream* Start(grpc::CallbackServerContext* context, const Serving& serving);

 private:
  struct Running {
    ConverseAction action;
    std::unique_ptr<EventPump> pump;    // of an append or a generation; null: the engine is asked for the position
    std::optional<ChunkJoiner> chunks;  // with it
    bool submitted = false;             // events may be taken
  };

  ConverseStream(grpc::CallbackServerContext* context, const Serving& serving);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Does whatever can be done now: writes, begins the next action, ends the stream. Any thread.
  void Pump();
  // Gives the action to the engine. Without the lock: the engine may hold one of its call's while it asks for ours.
  absl::Status Begin(const std::shared_ptr<Running>& running);
  void Tell(const Running& running, const absl::StatusOr<Session*>& session);  // the engine's thread

  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Interrupt() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Leave() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // the caller is gone
  std::shared_ptr<Running> Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Fills message_; false: nothing to write now.
  bool NextMessage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Conclude(const Finished& finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // the same, of the call's end
  void EndSoon(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndWhereDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Serving& serving_;
  CallRecord record_;
  grpc::CallbackServerContext& context_;  // until the stream has ended
  const TimePoint gives_up_at_;
  const absl::StatusOr<std::string> tenant_;
  std::shared_ptr<ConverseStream> self_;  // until OnDone
  grpc::ByteBuffer bytes_;
  ConverseParser parser_;  // Parse: of OnReadDone alone

  absl::Mutex mutex_;
  std::deque<ConverseAction> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<Running> running_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::ConverseResponse> answer_ ABSL_GUARDED_BY(mutex_);  // of an action that has ended; to be written
  v1::ConverseResponse message_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;                // a read is under way, or its message is parsed
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;                // message_ is on its way
  bool all_read_ ABSL_GUARDED_BY(mutex_) = false;               // the caller has sent everything
  bool left_ ABSL_GUARDED_BY(mutex_) = false;                   // nobody reads: events are dropped
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;                  // gRPC has the status
  std::optional<absl::Status> ending_ ABSL_GUARDED_BY(mutex_);  // of the stream, once nothing runs or is written
};

}  // namespace barista

// One Converse stream, from the caller's side: requests go out one at a time, each when the one before is answered.
//
// While Ask runs, Ctrl-C interrupts what the server does, and a second one within a second gives the stream up (a third
// one ends the process).
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "barista/v1/inference.grpc.pb.h"
#include "clients/cli/command.h"

namespace barista::cli {

// One thread but for Ctrl-C's, which is its own.
class Conversation {
 public:
  // Returns whether to go on; if not, the stream is given up.
  using OnMessage = std::function<bool(const v1::ConverseResponse&)>;

  // Opens the stream on a session ("sessions/demo"), with the deadline of `options` for all of it.
  Conversation(const Options& options, const std::string& session);
  ~Conversation();  // gives the stream up where End has not been called
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  // Sends the first message. The answer, or none where the stream has ended: End tells why.
  std::optional<v1::ConverseStarted> Start(const v1::ConverseStart& start);

  // Sends requests in order, up to one that fails or that Ctrl-C interrupts, and calls `on_message` with everything
  // that comes back. False where the stream has ended.
  bool Ask(const std::vector<v1::ConverseRequest>& requests, const OnMessage& on_message);

  // Closes the sending side where the stream still stands, and tells how it ended. Once, and nothing is asked after.
  grpc::Status End();

  // Whether Ctrl-C has interrupted the last Ask.
  bool interrupted() const { return interrupted_; }

  // Whether Ctrl-C has given the stream up.
  bool given_up() const { return given_up_; }

 private:
  // On Ctrl-C's thread.
  void Interrupt();
  void SendInterrupt();
  void GiveUp();

  // False where the stream has ended. `answered` becomes the message that ends the request.
  bool ReadAnswer(const OnMessage& on_message, v1::ConverseResponse& answer);

  grpc::ClientContext context_;
  std::unique_ptr<v1::InferenceService::StubInterface> stub_;
  std::unique_ptr<grpc::ClientReaderWriterInterface<v1::ConverseRequest, v1::ConverseResponse>> stream_;
  std::mutex writing_;  // held over each write: the stream takes one at a time
  std::atomic<bool> interrupted_ = false;
  std::atomic<bool> given_up_ = false;
  std::optional<std::chrono::steady_clock::time_point> interrupt_time_;  // Ctrl-C's thread alone
  bool stands_ = true;                                                   // nothing has failed so far
  bool ended_ = false;
};

}  // namespace barista::cli

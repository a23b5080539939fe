#include "clients/cli/conversation.h"

#include <unistd.h>

#include "clients/cli/call.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/interrupt.h"

namespace barista::cli {
namespace {

constexpr std::chrono::seconds kTwice(1);  // two Ctrl-C that are no further apart give up

}  // namespace

Conversation::Conversation(const Options& options, const std::string& session)
    : stub_(v1::InferenceService::NewStub(Connect(options, session))) {
  SetDeadline(context_, options);
  stream_ = stub_->Converse(&context_);
}

Conversation::~Conversation() {
  if (ended_) return;
  context_.TryCancel();
  End();
}

std::optional<v1::ConverseStarted> Conversation::Start(const v1::ConverseStart& start) {
  const InterruptScope scope([this] { GiveUp(); });
  v1::ConverseRequest request;
  *request.mutable_start() = start;
  v1::ConverseResponse response;
  stands_ = stream_->Write(request) && stream_->Read(&response);
  if (!stands_) return std::nullopt;
  return response.started();
}

bool Conversation::Ask(const std::vector<v1::ConverseRequest>& requests, const OnMessage& on_message) {
  interrupted_ = false;
  interrupt_time_.reset();
  const InterruptScope scope([this] { Interrupt(); });
  for (const v1::ConverseRequest& request : requests) {
    if (interrupted_) break;
    {
      const std::lock_guard lock(writing_);
      stands_ = stream_->Write(request);
    }
    if (interrupted_) SendInterrupt();  // came while the lock was held
    v1::ConverseResponse answer;
    if (!stands_ || !ReadAnswer(on_message, answer)) return stands_ = false;
    if (answer.has_failed()) break;
  }
  return true;
}

bool Conversation::ReadAnswer(const OnMessage& on_message, v1::ConverseResponse& answer) {
  while (stream_->Read(&answer)) {
    if (!on_message(answer)) context_.TryCancel();
    if (answer.has_appended() || answer.has_generated() || answer.has_failed()) return true;
  }
  return false;
}

grpc::Status Conversation::End() {
  ended_ = true;
  const InterruptScope scope([this] { GiveUp(); });
  if (stands_) stream_->WritesDone();
  v1::ConverseResponse unasked;
  while (stream_->Read(&unasked)) {
  }
  return stream_->Finish();
}

void Conversation::Interrupt() {
  const auto now = std::chrono::steady_clock::now();
  if (given_up_ || (interrupt_time_.has_value() && now - *interrupt_time_ <= kTwice)) return GiveUp();
  interrupt_time_ = now;
  interrupted_ = true;
  // A write that takes long must not keep this thread from a second Ctrl-C: Ask sends the interrupt after it.
  if (writing_.try_lock()) {
    writing_.unlock();
    SendInterrupt();
  }
}

void Conversation::SendInterrupt() {
  v1::ConverseRequest request;
  request.mutable_interrupt();
  const std::lock_guard lock(writing_);
  stream_->Write(request);
}

void Conversation::GiveUp() {
  if (given_up_.exchange(true)) _exit(kInterrupted);
  context_.TryCancel();
}

}  // namespace barista::cli

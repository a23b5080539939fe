#include "server/rpc/generate_stream.h"

#include <algorithm>

#include "server/rpc/call_end.h"
#include "server/rpc/messages.h"
#include "server/rpc/request.h"
#include "server/rpc/sealed_state.h"
#include "server/rpc/session_name.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

constexpr int64_t kEchoIdsMax = 4096;  // prompt ids in one message

}  // namespace

GenerateStream::GenerateStream(grpc::CallbackServerContext* context, const v1::GenerateRequest* message,
                               const Serving& serving)
    : serving_(serving),
      record_(*context, "Generate", serving.metrics),
      message_in_(*message),
      pump_(serving, GivesUpAt(*context)),
      chunks_(message->stop(), message->has_logprobs()) {
  absl::StatusOr<Request> request = ParseGenerate(*message, serving, DeadlineOf(*context, serving));
  absl::Status status = request.status();
  if (status.ok()) status = BindTenant(*context, serving, *request);
  if (status.ok()) status = BeginOnce(request->tenant);
  if (status.ok() && replay_ == nullptr) {
    status = OpenSealedState(*message, serving, *request);
    message_in_.clear_sealed_state();  // megabytes
    if (status.ok()) status = pump_.Submit(*std::move(request), [this] { Pump(); });
  }
  if (!status.ok()) {
    absl::MutexLock lock(&mutex_);
    End(status);
    return;
  }
  Pump();  // the echo needs no event
}

absl::Status GenerateStream::BeginOnce(const std::string& tenant) {
  if (!message_in_.has_session() || message_in_.request_id().empty()) return absl::OkStatus();
  absl::StatusOr<ReplayCache::Begun> begun =
      serving_.replays.Begin(KeyOf(tenant, message_in_.request_id()), message_in_);
  if (!begun.ok()) return begun.status();
  recording_ = std::move(begun->recording);
  replay_ = std::move(begun->answer);
  return absl::OkStatus();
}

void GenerateStream::OnDone() {
  pump_.Detach();
  delete this;
}

void GenerateStream::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) broken_ = true;
  }
  if (!ok) pump_.Cancel();
  Pump();
}

void GenerateStream::Pump() {
  absl::MutexLock lock(&mutex_);
  while (!writing_ && !finished_) {
    message_.Clear();
    if (ending_) {
      End(*ending_);
    } else if (NextMessage()) {
      if (recording_ != nullptr) recording_->Add(message_);  // also what nobody reads: the session has it
      if (broken_) continue;
      writing_ = true;
      StartWrite(&message_);
    } else if (!ending_) {
      return;
    }
  }
}

bool GenerateStream::NextMessage() {
  if (replay_ != nullptr) {
    if (replayed_ < replay_->messages.size()) return message_.ParseFromString(replay_->messages[replayed_++]);
    ending_ = replay_->status;
    return false;
  }
  if (message_in_.echo() && !message_in_.has_prompt_logprobs() && NextEcho()) return true;
  if (message_in_.has_prompt_logprobs() && echoed_ == 0 && pump_.request().prompt.size() == 1) {
    AddLogprobs({});  // the only token has none, so no event brings them
    return true;
  }
  std::optional<ChunkJoiner::Told> told = chunks_.Next(pump_);
  if (!told) return false;
  if (auto* chunk = std::get_if<v1::Chunk>(&*told)) {
    message_.mutable_chunk()->Swap(chunk);
  } else if (const auto* progress = std::get_if<PrefillProgress>(&*told)) {
    message_.mutable_progress()->set_tokens_done(progress->done);
    message_.mutable_progress()->set_prompt_tokens(progress->total);
  } else if (auto* logprobs = std::get_if<PromptLogprobs>(&*told)) {
    AddLogprobs(std::move(*logprobs));
  } else {
    const Finished& finished = std::get<Finished>(*told);
    record_.Add(finished);
    if (!finished.status.ok()) {
      ending_ = finished.status;
      return false;
    }
    FillSummary(finished, pump_.request(), serving_, *message_.mutable_summary());
    message_.mutable_summary()->set_request_id(message_in_.request_id());
    if (finished.sealed != nullptr && !broken_) {
      SealAndWrite(finished.sealed);
      return false;
    }
    ending_ = absl::OkStatus();
  }
  return true;
}

bool GenerateStream::NextEcho() {
  const std::vector<int32_t>& prompt = pump_.request().prompt;
  const int64_t count = std::min<int64_t>(kEchoIdsMax, static_cast<int64_t>(prompt.size()) - echoed_);
  if (count == 0) return false;
  v1::PromptEcho& echo = *message_.mutable_prompt();
  if (echoed_ == 0) echo.set_text(PromptText(message_in_, prompt, serving_));
  echo.mutable_token_ids()->Add(prompt.begin() + echoed_, prompt.begin() + echoed_ + count);
  echoed_ += count;
  return true;
}

void GenerateStream::AddLogprobs(PromptLogprobs logprobs) {
  const std::vector<int32_t>& prompt = pump_.request().prompt;
  v1::PromptEcho& echo = *message_.mutable_prompt();
  if (echoed_ == 0) {  // the first token has no log-probability, but has its entry
    if (message_in_.echo()) echo.set_text(PromptText(message_in_, prompt, serving_));
    echo.add_token_ids(prompt[0]);
    echo.add_logprobs()->set_token_id(prompt[0]);
    echoed_ = 1;
  }
  for (const SampleResult& result : logprobs.tokens) {
    echo.add_token_ids(prompt[echoed_]);
    FillLogprob(prompt[echoed_], result, *echo.add_logprobs());
    ++echoed_;
  }
}

// Encryption takes longer than a step may wait: the worker does it, and nothing else is written meanwhile.
void GenerateStream::SealAndWrite(std::shared_ptr<const SessionCopy> state) {
  writing_ = true;
  serving_.background.Run([this, state = std::move(state)] {
    std::string sealed = SealState(*state, pump_.request().tenant, serving_);
    absl::MutexLock lock(&mutex_);
    message_.mutable_summary()->set_sealed_state(std::move(sealed));
    ending_ = absl::OkStatus();
    StartWrite(&message_);
  });
}

void GenerateStream::End(const absl::Status& status) {
  finished_ = true;
  if (recording_ != nullptr) recording_->End(status);
  record_.End(status);
  Finish(ToGrpcStatus(status));
}

}  // namespace barista

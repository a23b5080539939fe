#include "server/rpc/generate_stream.h"

#include <algorithm>

#include "server/rpc/call_end.h"
#include "server/rpc/messages.h"
#include "server/rpc/request.h"
#include "server/rpc/sealed_state.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

constexpr int64_t kEchoIdsMax = 4096;  // prompt ids in one message
constexpr int kChunkTokensMax = 64;    // tokens a slow reader finds joined in one message

}  // namespace

GenerateStream::GenerateStream(grpc::CallbackServerContext* context, const v1::GenerateRequest* message,
                               const Serving& serving)
    : serving_(serving), message_in_(*message), pump_(serving.engine, GivesUpAt(*context)) {
  absl::StatusOr<Request> request = ParseGenerate(*message, serving, DeadlineOf(*context, serving));
  absl::Status status = request.status();
  if (status.ok()) status = BindTenant(*context, serving, *request);
  if (status.ok()) status = OpenSealedState(*message, serving, *request);
  message_in_.clear_sealed_state();  // megabytes
  if (status.ok()) {
    generated_.resize(request->n);
    status = pump_.Submit(*std::move(request), [this] { Pump(); });
  }
  if (!status.ok()) {
    absl::MutexLock lock(&mutex_);
    End(status);
    return;
  }
  Pump();  // the echo needs no event
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
    if (ending_) return End(*ending_);
  }
  if (!ok) pump_.Cancel();
  Pump();
}

void GenerateStream::Pump() {
  absl::MutexLock lock(&mutex_);
  if (writing_ || finished_ || ending_) return;
  message_.Clear();
  if (!NextMessage()) return;
  writing_ = true;
  StartWrite(&message_);
}

bool GenerateStream::NextMessage() {
  if (message_in_.echo() && !message_in_.has_prompt_logprobs() && NextEcho()) return true;
  if (message_in_.has_prompt_logprobs() && echoed_ == 0 && pump_.request().prompt.size() == 1) {
    AddLogprobs({});  // the only token has none, so no event brings them
    return true;
  }
  while (true) {
    std::optional<Event> event = held_ ? std::exchange(held_, std::nullopt) : pump_.Next();
    if (!event) return message_.has_chunk();
    if (auto* token = std::get_if<Token>(&*event)) {
      const bool other = message_.has_chunk() && (static_cast<int32_t>(message_.chunk().choice()) != token->choice ||
                                                  message_.chunk().token_ids_size() >= kChunkTokensMax);
      if (other) {
        held_ = std::move(event);
        return true;
      }
      if (!broken_) AddToChunk(std::move(*token));
      continue;
    }
    if (message_.has_chunk()) {
      held_ = std::move(event);
      return true;
    }
    if (auto* finished = std::get_if<Finished>(&*event)) {
      if (broken_ || !finished->status.ok()) {
        End(finished->status);
        return false;
      }
      WriteSummary(*finished);
      if (finished->sealed != nullptr) {
        SealAndWrite(std::move(finished->sealed));
        return false;
      }
      ending_ = absl::OkStatus();
      return true;
    }
    if (broken_) continue;
    if (auto* progress = std::get_if<PrefillProgress>(&*event)) {
      message_.mutable_progress()->set_tokens_done(progress->done);
      message_.mutable_progress()->set_prompt_tokens(progress->total);
    } else {
      AddLogprobs(std::get<PromptLogprobs>(*std::move(event)));
    }
    return true;
  }
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

void GenerateStream::AddToChunk(Token token) {
  v1::Chunk& chunk = *message_.mutable_chunk();
  chunk.set_choice(token.choice);
  chunk.mutable_text()->append(token.text);
  if (token.id >= 0) {
    chunk.add_token_ids(token.id);
    ++generated_[token.choice];
    if (message_in_.has_logprobs()) FillLogprob(token.id, token.logprobs, *chunk.add_logprobs());
  }
  chunk.set_generated_tokens(generated_[token.choice]);
  if (token.finish == FinishReason::kNone) return;
  chunk.set_finish_reason(ToProto(token.finish));
  if (token.finish == FinishReason::kStopString) {
    chunk.set_stop_string(message_in_.stop().stop_strings(token.stop_index));
  } else if (token.finish == FinishReason::kEos || token.finish == FinishReason::kStopToken) {
    chunk.set_stop_token_id(token.id);
  }
}

void GenerateStream::WriteSummary(const Finished& finished) {
  v1::Summary& summary = *message_.mutable_summary();
  FillUsage(finished.usage, *summary.mutable_usage());
  FillTimings(finished.timings, *summary.mutable_timings());
  summary.set_seed(pump_.request().sampling.seed);
  summary.set_model_fingerprint(serving_.fingerprint);
  summary.set_request_id(message_in_.request_id());
  if (message_in_.has_session()) summary.set_session_position(finished.session_tokens);
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
  RecordEnd(status, serving_.metrics);
  Finish(ToGrpcStatus(status));
}

}  // namespace barista

#include "server/rpc/converse_stream.h"

#include <utility>

#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/messages.h"
#include "server/rpc/session_name.h"
#include "server/rpc/status_map.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

using Kind = ConverseAction::Kind;

// Where as much waits, no further message is read.
constexpr size_t kWaitingMax = 16;
constexpr size_t kWaitingBytesMax = size_t{4} << 20;

}  // namespace

ConverseStream* ConverseStream::Start(grpc::CallbackServerContext* context, const Serving& serving) {
  std::shared_ptr<ConverseStream> stream(new ConverseStream(context, serving));
  stream->self_ = stream;
  absl::MutexLock lock(&stream->mutex_);
  stream->ReadOn();
  return stream.get();
}

ConverseStream::ConverseStream(grpc::CallbackServerContext* context, const Serving& serving)
    : serving_(serving),
      record_(*context, "Converse", serving.metrics),
      context_(*context),
      gives_up_at_(GivesUpAt(*context)),
      tenant_(CallerTenant(*context, serving)),
      parser_(serving) {}

void ConverseStream::OnDone() { self_.reset(); }

void ConverseStream::ReadOn() {
  const bool full = waiting_.size() >= kWaitingMax || waiting_bytes_ >= kWaitingBytesMax;
  if (reading_ || all_read_ || left_ || ending_ || full) return;
  reading_ = true;
  StartRead(&bytes_);
}

void ConverseStream::OnReadDone(bool ok) {
  absl::StatusOr<ConverseAction> action;
  if (ok && tenant_.ok()) action = parser_.Parse(bytes_);
  if (!tenant_.ok()) action = tenant_.status();
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (!ok) {
      all_read_ = true;
      if (context_.IsCancelled()) Leave();
    } else if (!action.ok()) {
      EndSoon(action.status());
    } else if (action->kind == Kind::kInterrupt) {
      Interrupt();
    } else {
      waiting_bytes_ += action->bytes;
      waiting_.push_back(*std::move(action));
    }
    ReadOn();
  }
  Pump();
}

void ConverseStream::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) Leave();
  }
  Pump();
}

void ConverseStream::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    Leave();
  }
  Pump();
}

void ConverseStream::Leave() {
  left_ = true;
  waiting_.clear();
  if (running_ != nullptr && running_->pump != nullptr) running_->pump->Cancel();
}

void ConverseStream::Interrupt() {
  if (running_ != nullptr && running_->action.kind == Kind::kGenerate) running_->pump->Cancel();
  for (ConverseAction& action : waiting_) {
    if (action.kind != Kind::kGenerate) continue;
    waiting_bytes_ -= action.bytes;
    action = {.kind = Kind::kRefused,
              .refused = MakeError({.reason = ErrorReason::kCancelled}, "interrupted before it began")};
  }
}

void ConverseStream::Pump() {
  while (true) {
    std::shared_ptr<Running> next;
    {
      absl::MutexLock lock(&mutex_);
      if (ended_) return;
      Write();
      next = Next();
      if (next == nullptr) return EndWhereDone();
    }
    const absl::Status begun = Begin(next);
    absl::MutexLock lock(&mutex_);
    next->submitted = true;
    if (begun.ok()) continue;
    running_ = nullptr;
    EndSoon(begun);
  }
}

std::shared_ptr<ConverseStream::Running> ConverseStream::Next() {
  if (running_ != nullptr || answer_ || left_ || ending_ || waiting_.empty()) return nullptr;
  running_ = std::make_shared<Running>(Running{.action = std::move(waiting_.front())});
  ConverseAction& action = running_->action;
  waiting_.pop_front();
  waiting_bytes_ -= action.bytes;
  ReadOn();
  if (action.kind == Kind::kAppend || action.kind == Kind::kGenerate) {
    action.request.deadline = DeadlineOf(context_, serving_);
    action.request.tenant = *tenant_;
    action.request.session = KeyOf(*tenant_, action.request.session);
    running_->pump = std::make_unique<EventPump>(serving_, gives_up_at_);
    running_->chunks.emplace(action.stop, action.request.logprobs >= 0);
  }
  return running_;
}

absl::Status ConverseStream::Begin(const std::shared_ptr<Running>& running) {
  if (running->pump == nullptr) {
    const auto tell = [self = shared_from_this(), running](const absl::StatusOr<Session*>& session) {
      self->Tell(*running, session);
    };
    return serving_.engines.PostFind(KeyOf(*tenant_, parser_.session()), tell);
  }
  const auto on_events = [weak = weak_from_this()] {
    if (const std::shared_ptr<ConverseStream> stream = weak.lock()) stream->Pump();
  };
  absl::Status status = running->pump->Submit(std::move(running->action.request), on_events);
  if (status.ok() && running->action.kind == Kind::kAppend) running->pump->Feed({}, true);
  return status;
}

void ConverseStream::Tell(const Running& running, const absl::StatusOr<Session*>& session) {
  {
    absl::MutexLock lock(&mutex_);
    v1::ConverseResponse& answer = answer_.emplace();
    if (running.action.kind == Kind::kRefused) {
      FillFailed(running.action.refused, *answer.mutable_failed());
      if (session.ok()) answer.mutable_failed()->set_session_position((*session)->tokens());
    } else if (session.ok()) {
      answer.mutable_started()->set_session_position((*session)->tokens());
    } else {
      answer_.reset();
      EndSoon(session.status());
    }
    running_ = nullptr;
  }
  Pump();
}

void ConverseStream::Write() {
  while (!writing_) {
    message_.Clear();
    if (!NextMessage()) return;
    if (left_) continue;
    writing_ = true;
    StartWrite(&message_);
  }
}

bool ConverseStream::NextMessage() {
  if (answer_) {
    message_.Swap(&*answer_);
    answer_.reset();
    return true;
  }
  if (running_ == nullptr || running_->pump == nullptr || !running_->submitted) return false;
  while (std::optional<ChunkJoiner::Told> told = running_->chunks->Next(*running_->pump)) {
    if (auto* chunk = std::get_if<v1::Chunk>(&*told)) {
      message_.mutable_chunk()->Swap(chunk);
      return true;
    }
    if (const auto* finished = std::get_if<Finished>(&*told)) return Conclude(*finished);
    const auto* progress = std::get_if<PrefillProgress>(&*told);
    if (progress == nullptr || progress->done == progress->total) continue;  // `appended` says the last one
    message_.mutable_progress()->set_tokens_done(progress->done);
    message_.mutable_progress()->set_prompt_tokens(progress->total);
    return true;
  }
  return false;
}

bool ConverseStream::Conclude(const Finished& finished) {
  const std::shared_ptr<Running> done = std::exchange(running_, nullptr);
  const Kind kind = done->action.kind;
  record_.Add(finished);
  if (finished.status.ok()) {
    if (kind == Kind::kAppend) {
      FillAppended(finished, serving_, *message_.mutable_appended());
    } else {
      FillSummary(finished, done->pump->request(), serving_, *message_.mutable_generated());
    }
    return true;
  }
  const bool over = absl::IsDeadlineExceeded(finished.status) && std::chrono::steady_clock::now() >= gives_up_at_;
  if (over || absl::IsUnavailable(finished.status)) {
    EndSoon(finished.status);
    return false;
  }
  const absl::Status failed = InConverse(kind, finished.status);
  if (finished.session_tokens > 0) {
    FillFailed(failed, *message_.mutable_failed());
    message_.mutable_failed()->set_session_position(finished.session_tokens);
    return true;
  }
  waiting_.push_front({.kind = Kind::kRefused, .refused = failed});  // the call never had the session: ask for it
  return false;
}

void ConverseStream::EndSoon(const absl::Status& status) {
  if (!ending_) ending_ = status;
  waiting_.clear();
}

void ConverseStream::EndWhereDone() {
  if (running_ != nullptr || writing_ || answer_) return;
  if (left_) {
    const bool late = std::chrono::steady_clock::now() >= gives_up_at_;
    ending_ = late ? MakeError({.reason = ErrorReason::kDeadline}, "the deadline passed")
                   : MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller");
  } else if (!ending_) {
    if (!all_read_ || !waiting_.empty()) return;
    ending_ = absl::OkStatus();
  }
  ended_ = true;
  record_.End(*ending_);
  Finish(ToGrpcStatus(*ending_));
}

}  // namespace barista

#include "server/rpc/append_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/messages.h"
#include "server/rpc/request.h"
#include "server/rpc/status_map.h"
#include "server/rpc/strict_methods.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

constexpr int64_t kAheadMax = 16384;  // tokens that wait in the engine before the next message is read

}  // namespace

AppendStream::AppendStream(grpc::CallbackServerContext* context, v1::AppendResponse* response, const Serving& serving)
    : serving_(serving),
      record_(*context, "Append", serving.metrics),
      context_(*context),
      response_(*response),
      pump_(serving, GivesUpAt(*context)) {
  absl::MutexLock lock(&mutex_);
  ReadOn();
}

void AppendStream::ReadOn() {
  if (reading_ || all_read_ || ended_ || fed_ - taken_ > kAheadMax) return;
  reading_ = true;
  StartRead(&bytes_);
}

void AppendStream::OnReadDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    all_read_ = !ok;  // reading_ stays until this message is taken: Pump must not ask for the next one meanwhile
    if (ended_) return;
  }
  // Without the lock: Submit holds one that the engine holds while it calls Pump.
  const absl::Status status = ok ? Take() : Last();
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (ended_) return;
    if (status.ok()) return ReadOn();
    End(status);
  }
  if (!session_.empty()) pump_.Cancel();
}

absl::Status AppendStream::Last() {
  const bool left = context_.IsCancelled();
  if (!session_.empty()) {
    if (!left) pump_.Feed({}, true);  // else the engine ends the call
    return absl::OkStatus();
  }
  return left ? MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller")
              : FieldError("session", "no message came; the first one names the session");
}

absl::Status AppendStream::Take() {
  v1::AppendRequest message;
  if (!ParseBytes(bytes_, message)) return Malformed();
  if (session_.empty()) {
    absl::StatusOr<Request> request = ParseAppend(message, serving_, DeadlineOf(context_, serving_));
    if (!request.ok()) return request.status();
    if (absl::Status bound = BindTenant(context_, serving_, *request); !bound.ok()) return bound;
    CountFed(request->prompt.size());
    absl::Status status = pump_.Submit(*std::move(request), [this] { Pump(); });
    if (status.ok()) session_ = message.session();
    return status;
  }
  if (message.has_session() && message.session() != session_) {
    return FieldError("session", absl::StrCat("\"", message.session(), "\" where the first message names ", session_));
  }
  absl::StatusOr<std::vector<int32_t>> ids = ParsePiece(message, serving_);
  if (!ids.ok()) return ids.status();
  CountFed(ids->size());
  pump_.Feed(*ids, false);
  return absl::OkStatus();
}

void AppendStream::CountFed(size_t tokens) {
  absl::MutexLock lock(&mutex_);
  fed_ += static_cast<int64_t>(tokens);
}

void AppendStream::Pump() {
  absl::MutexLock lock(&mutex_);
  while (std::optional<Event> event = pump_.Next()) {
    if (const auto* progress = std::get_if<PrefillProgress>(&*event)) {
      taken_ = progress->done;
    } else if (const auto* finished = std::get_if<Finished>(&*event)) {
      if (ended_) return;  // a message was refused
      record_.Add(*finished);
      FillAppended(*finished, serving_, response_);
      return End(finished->status);
    }
  }
  ReadOn();
}

void AppendStream::End(const absl::Status& status) {
  ended_ = true;
  record_.End(status);
  Finish(ToGrpcStatus(status));
}

void AppendStream::OnDone() {
  pump_.Detach();
  delete this;
}

}  // namespace barista

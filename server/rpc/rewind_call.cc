#include "server/rpc/rewind_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/session_name.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

absl::StatusOr<Request> ParseRewind(const grpc::CallbackServerContext& context, const v1::RewindSessionRequest& message,
                                    const Serving& serving) {
  Request request = {.kind = RequestKind::kRewind, .deadline = DeadlineOf(context, serving)};
  absl::StatusOr<std::string> id = ParseSessionName(message.name(), "name");
  if (!id.ok()) return id.status();
  request.session = *std::move(id);
  switch (message.target_case()) {
    case v1::RewindSessionRequest::kTokens: {
      const uint64_t limit = serving.limits.rewind_tokens_max;
      if (message.tokens() < 1 || message.tokens() > limit) {
        return FieldError("tokens", absl::StrCat(message.tokens(), ", range 1 to ", limit, " (rewind_tokens_max)"));
      }
      request.rewind.tokens = static_cast<int64_t>(message.tokens());
      break;
    }
    case v1::RewindSessionRequest::kMark:
      if (absl::Status status = CheckSessionId(message.mark(), "mark"); !status.ok()) return status;
      request.rewind.mark = message.mark();
      break;
    case v1::RewindSessionRequest::kTurns:
      if (message.turns() < 1) return FieldError("turns", "0; at least 1");
      request.rewind.turns = message.turns();
      break;
    case v1::RewindSessionRequest::TARGET_NOT_SET:
      return FieldError("tokens", "a target is required: tokens, mark or turns");
  }
  if (absl::Status status = BindTenant(context, serving, request); !status.ok()) return status;
  return request;
}

}  // namespace

RewindCall::RewindCall(const grpc::CallbackServerContext& context, const v1::RewindSessionRequest& message,
                       v1::RewindSessionResponse& response, const Serving& serving,
                       std::function<void(const Session&)> fill)
    : serving_(serving), response_(response), fill_(std::move(fill)), pump_(serving.engine, GivesUpAt(context)) {
  absl::StatusOr<Request> request = ParseRewind(context, message, serving);
  absl::Status status = request.status();
  if (status.ok()) status = pump_.Submit(*std::move(request), [this] { Pump(); });
  if (!status.ok()) End(status);
}

void RewindCall::Pump() {
  while (std::optional<Event> event = pump_.Next()) {
    const auto* finished = std::get_if<Finished>(&*event);
    if (finished == nullptr) continue;
    if (!finished->status.ok()) return End(finished->status);
    response_.set_replayed_tokens(finished->replayed_tokens);
    return Show(pump_.request().session);
  }
}

void RewindCall::Show(const std::string& key) {
  const absl::Status posted = serving_.engine.Post([this, key](SessionTable& sessions) {
    const absl::StatusOr<Session*> session = sessions.Find(key);
    if (session.ok()) fill_(**session);
    serving_.metrics.rewinds_total.Increment();
    End(absl::OkStatus());  // it was put back, even if it is deleted by now
  });
  if (!posted.ok()) End(absl::OkStatus());
}

void RewindCall::End(const absl::Status& status) {
  RecordEnd(status, serving_.metrics);
  Finish(ToGrpcStatus(status));
}

void RewindCall::OnDone() {
  pump_.Detach();
  delete this;
}

}  // namespace barista

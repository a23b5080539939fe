#include "server/rpc/rewind_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/session_name.h"
#include "server/rpc/tenant.h"

namespace barista {

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

absl::Status RewindCall::Start(Request request, const Serving& serving, Done done) {
  const std::shared_ptr<RewindCall> call(new RewindCall(serving, std::move(done)));
  return call->pump_.Submit(std::move(request), [call] { call->Pump(); });
}

void RewindCall::Pump() {
  while (std::optional<Event> event = pump_.Next()) {
    const auto* finished = std::get_if<Finished>(&*event);
    if (finished == nullptr) continue;
    // Elsewhere: the pump is letting go of this call, which it must not do while it runs.
    serving_.background.Run([self = shared_from_this(), status = finished->status,
                             rewound = Rewound{pump_.request().session, finished->replayed_tokens}] {
      self->pump_.Detach();
      status.ok() ? self->done_(rewound) : self->done_(status);
    });
    return;
  }
}

}  // namespace barista

#include "server/rpc/converse_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "barista/v1/inference.grpc.pb.h"
#include "server/engine/error.h"
#include "server/rpc/request.h"
#include "server/rpc/sampling_request.h"
#include "server/rpc/session_name.h"
#include "server/rpc/strict_methods.h"

namespace barista {
namespace {

using Kind = ConverseAction::Kind;

// An error of a message that stands in the field `parent` of another one.
absl::Status Under(absl::string_view parent, const absl::Status& status) {
  ErrorDetail detail = DetailOf(status);
  if (status.ok() || detail.field.empty()) return status;
  absl::string_view message = status.message();
  const bool named = absl::ConsumePrefix(&message, detail.field);
  detail.field = absl::StrCat(parent, ".", detail.field);
  return MakeError(detail, absl::StrCat(named ? detail.field : "", message));
}

}  // namespace

absl::Status InConverse(Kind kind, const absl::Status& status) {
  if (kind == Kind::kAppend) return Under("append", status);
  // A generation brings no text: the engine misses a prompt.
  if (DetailOf(status).field == "text") return FieldError("generate", "the session is empty; append first");
  return Under("generate", status);
}

absl::StatusOr<ConverseAction> ConverseParser::Parse(const grpc::ByteBuffer& bytes) {
  v1::ConverseRequest message;
  const bool parsed = ParseBytes(bytes, message);
  if (session_.empty()) {
    if (!parsed) return Malformed();
    if (!message.has_start()) return FieldError("start", "missing; the first message names the session");
    return Start(message.start());
  }
  ConverseAction action = {.kind = Kind::kRefused, .bytes = bytes.Length()};
  if (!parsed) {
    action.refused = Malformed();
    return action;
  }
  absl::StatusOr<Request> request;
  switch (message.action_case()) {
    case v1::ConverseRequest::kInterrupt:
      action.kind = Kind::kInterrupt;
      return action;
    case v1::ConverseRequest::kAppend:
      action.kind = Kind::kAppend;
      request = Append(*message.mutable_append());
      break;
    case v1::ConverseRequest::kGenerate:
      action.kind = Kind::kGenerate;
      request = Generate(message.generate());
      action.stop = stop_;
      break;
    case v1::ConverseRequest::kStart:
      request = FieldError("start", "only in the first message");
      break;
    case v1::ConverseRequest::ACTION_NOT_SET:
      request = FieldError("action", "missing; append, generate or interrupt");
      break;
  }
  if (request.ok()) {
    action.request = *std::move(request);
  } else {
    action.refused = action.kind == Kind::kRefused ? request.status() : InConverse(action.kind, request.status());
    action.kind = Kind::kRefused;
  }
  return action;
}

absl::StatusOr<ConverseAction> ConverseParser::Start(const v1::ConverseStart& start) {
  if (absl::Status s = CheckTask(Task::kCausalLm, serving_); !s.ok()) return s;
  absl::StatusOr<std::string> session = ParseSessionName(start.session(), "start.session");
  if (!session.ok()) return session.status();
  if (absl::Status s = ParseSampling(start.sampling(), serving_).status(); !s.ok()) return Under("start", s);
  if (absl::Status s = ParseStop(start.stop(), serving_).status(); !s.ok()) return Under("start", s);
  session_ = *std::move(session);
  sampling_ = start.sampling();
  stop_ = start.stop();
  return ConverseAction{.kind = Kind::kStart};
}

absl::StatusOr<Request> ConverseParser::Append(v1::ConverseAppend& append) const {
  v1::AppendRequest message;
  message.set_session(SessionName(session_));
  if (append.has_text()) message.mutable_text()->swap(*append.mutable_text());
  if (append.has_tokens()) message.mutable_tokens()->Swap(append.mutable_tokens());
  if (append.has_mark()) message.set_mark(append.mark());
  return ParseAppend(message, serving_, TimePoint::max());
}

absl::StatusOr<Request> ConverseParser::Generate(const v1::ConverseGenerate& generate) {
  v1::GenerateRequest message;
  message.set_session(SessionName(session_));
  *message.mutable_sampling() = generate.has_sampling() ? generate.sampling() : sampling_;
  *message.mutable_stop() = generate.has_stop() ? generate.stop() : stop_;
  if (generate.has_logprobs()) message.set_logprobs(generate.logprobs());
  if (generate.has_mark()) message.set_mark(generate.mark());
  if (generate.has_speculation_tokens()) message.set_speculation_tokens(generate.speculation_tokens());
  absl::StatusOr<Request> request = ParseGenerate(message, serving_, TimePoint::max());
  if (request.ok()) {
    sampling_.Swap(message.mutable_sampling());
    stop_.Swap(message.mutable_stop());
  }
  return request;
}

}  // namespace barista

#include "server/rpc/tokenizer_service.h"

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/request.h"
#include "server/rpc/status_map.h"
#include "server/rpc/strict_methods.h"
#include "server/text/utf8.h"

namespace barista {

// The numbers are those of the methods in tokenizer.proto, in order.
TokenizerService::TokenizerService(const Serving& serving) : serving_(serving) {
  MarkMethodRawCallback(0, StrictUnary<v1::TokenizeRequest, v1::TokenizeResponse>(
                               serving.metrics, [this](auto* context, auto* request, auto* response) {
                                 return Tokenize(context, request, response);
                               }));
  MarkMethodRawCallback(1, StrictUnary<v1::DetokenizeRequest, v1::DetokenizeResponse>(
                               serving.metrics, [this](auto* context, auto* request, auto* response) {
                                 return Detokenize(context, request, response);
                               }));
}

grpc::ServerUnaryReactor* TokenizerService::Tokenize(grpc::CallbackServerContext* context,
                                                     const v1::TokenizeRequest* request,
                                                     v1::TokenizeResponse* response) {
  const CallRecord record(*context, "Tokenize", serving_.metrics);
  return Finish(record, DoTokenize(*request, *response), *context);
}

grpc::ServerUnaryReactor* TokenizerService::Detokenize(grpc::CallbackServerContext* context,
                                                       const v1::DetokenizeRequest* request,
                                                       v1::DetokenizeResponse* response) {
  const CallRecord record(*context, "Detokenize", serving_.metrics);
  return Finish(record, DoDetokenize(*request, *response), *context);
}

grpc::ServerUnaryReactor* TokenizerService::Finish(const CallRecord& record, const absl::Status& status,
                                                   grpc::CallbackServerContext& context) const {
  record.End(status);
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();  // once: each call makes a new one
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

absl::Status TokenizerService::DoTokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse& response) const {
  const bool add_special = !request.has_add_special_tokens() || request.add_special_tokens();
  const absl::StatusOr<std::vector<int32_t>> ids = EncodeText(request.text(), "text", add_special, serving_);
  if (!ids.ok()) return ids.status();
  for (int32_t id : *ids) {
    response.add_token_ids(id);
    const absl::StatusOr<std::string_view> bytes = serving_.tokenizer->TokenBytes(id);
    const bool text = bytes.ok() && FirstInvalidUtf8(*bytes) == std::string_view::npos;
    response.add_pieces(std::string(text ? *bytes : kReplacementCharacter));
  }
  return absl::OkStatus();
}

absl::Status TokenizerService::DoDetokenize(const v1::DetokenizeRequest& request,
                                            v1::DetokenizeResponse& response) const {
  if (serving_.tokenizer == nullptr) {
    return MakeError({.reason = ErrorReason::kNoTokenizer}, "this checkpoint has no tokenizer.json");
  }
  if (request.token_ids_size() > serving_.limits.prompt_tokens_max) {
    return MakeError({.reason = ErrorReason::kPromptTooLong, .field = "token_ids"},
                     absl::StrCat("token_ids: ", request.token_ids_size(), " ids, limit ",
                                  serving_.limits.prompt_tokens_max, " (prompt_tokens_max)"));
  }
  const absl::Span<const uint32_t> ids(request.token_ids().data(), request.token_ids_size());
  if (absl::Status s = CheckIds(ids, "token_ids", serving_); !s.ok()) return s;
  const std::vector<int32_t> signed_ids(ids.begin(), ids.end());
  if (!request.has_skip_special_tokens() || request.skip_special_tokens()) {
    response.set_text(serving_.tokenizer->Decode(signed_ids));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> text = serving_.tokenizer->DecodeWithSpecial(signed_ids);
  if (!text.ok()) return FieldError("token_ids", text.status().message());
  response.set_text(*std::move(text));
  return absl::OkStatus();
}

}  // namespace barista

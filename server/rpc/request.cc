#include "server/rpc/request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/sampling_request.h"
#include "server/rpc/session_name.h"

namespace barista {
namespace {

// The prompt of any of the three messages: a oneof of `text` and `tokens`. `limit`: tokens.
template <class Message>
absl::StatusOr<std::vector<int32_t>> ParsePrompt(const Message& message, int64_t limit, absl::string_view limit_name,
                                                 const Serving& serving) {
  std::vector<int32_t> prompt;
  const char* field = message.has_text() ? "text" : "tokens.ids";
  if (message.has_text()) {
    absl::StatusOr<std::vector<int32_t>> ids = EncodeText(message.text(), "text", true, serving);
    if (!ids.ok()) return ids;
    if (message.text().empty()) return FieldError("text", "empty; at least one byte");
    prompt = *std::move(ids);
  } else if (message.has_tokens()) {
    const auto& ids = message.tokens().ids();
    if (ids.size() <= limit) {
      if (absl::Status s = CheckIds({ids.data(), static_cast<size_t>(ids.size())}, field, serving); !s.ok()) return s;
    }
    prompt.assign(ids.begin(), ids.end());
  } else {
    return FieldError("text", "a prompt is required: text or tokens");
  }
  if (prompt.empty()) return FieldError(field, "no token; at least one");
  if (static_cast<int64_t>(prompt.size()) > limit) {
    return MakeError({.reason = ErrorReason::kPromptTooLong, .field = field},
                     absl::StrCat(field, ": ", prompt.size(), " tokens, limit ", limit, " (", limit_name, ")"));
  }
  return prompt;
}

// The same in a session: request.opening where it is empty, request.prompt, without special tokens, where it has a
// past.
template <class Message>
absl::Status ParseSessionPrompt(const Message& message, int64_t limit, absl::string_view limit_name,
                                const Serving& serving, Request& request) {
  absl::StatusOr<std::vector<int32_t>> ids = ParsePrompt(message, limit, limit_name, serving);
  if (!ids.ok()) return ids.status();
  request.opening = *std::move(ids);
  if (!message.has_text()) {
    request.prompt = request.opening;
    return absl::OkStatus();
  }
  ids = EncodeText(message.text(), "text", false, serving);
  if (ids.ok()) request.prompt = *std::move(ids);
  return ids.status();
}

absl::Status CheckPositions(size_t prompt, int64_t more, absl::string_view field, const Serving& serving) {
  const int64_t limit = serving.limits.positions_max;
  if (limit == 0 || static_cast<int64_t>(prompt) + more <= limit) return absl::OkStatus();
  return MakeError({.reason = ErrorReason::kPositionOutOfRange, .field = std::string(field)},
                   absl::StrCat(field, ": ", prompt, " prompt tokens and ", more, " more pass position ", limit,
                                ", the limit of this model's full attention (positions_max)"));
}

// What goes with a past that the call continues: a session's, or a sealed one.
absl::Status CheckWithPast(const v1::GenerateRequest& message, absl::string_view past, const Request& request) {
  if (request.n > 1) return FieldError("n", absl::StrCat(request.n, " with ", past, ", which has one past; fork it"));
  if (message.echo()) return FieldError("echo", absl::StrCat("not with ", past));
  if (message.has_prompt_logprobs()) return FieldError("prompt_logprobs", absl::StrCat("not with ", past));
  return absl::OkStatus();
}

absl::Status ParseSession(const v1::GenerateRequest& message, Request& request) {
  absl::StatusOr<std::string> mark = ParseMark(message.mark(), "mark");
  if (!mark.ok()) return mark.status();
  if (!message.has_session()) return mark->empty() ? absl::OkStatus() : FieldError("mark", "only with a session");
  request.mark = *std::move(mark);
  absl::StatusOr<std::string> id = ParseSessionName(message.session(), "session");
  if (!id.ok()) return id.status();
  if (absl::Status s = CheckWithPast(message, "a session", request); !s.ok()) return s;
  if (message.seal()) return FieldError("seal", "not with a session, which the server keeps");
  if (message.has_sealed_state()) return FieldError("sealed_state", "not with a session, which has a past");
  request.session = *std::move(id);
  return absl::OkStatus();
}

absl::Status ParseSealed(const v1::GenerateRequest& message, const Serving& serving, Request& request) {
  if (!message.seal() && !message.has_sealed_state()) return absl::OkStatus();
  if (serving.sealer == nullptr) {
    return MakeError({.reason = ErrorReason::kNoSealKey},
                     "states can neither be sealed nor opened: the server was started without --seal_key_file");
  }
  request.seal = message.seal();
  if (request.seal && request.n > 1)
    return FieldError("n", absl::StrCat(request.n, " with seal, which keeps one past"));
  return message.has_sealed_state() ? CheckWithPast(message, "a sealed state", request) : absl::OkStatus();
}

absl::StatusOr<int32_t> CheckLogprobs(uint32_t value, absl::string_view field, const Serving& serving) {
  if (value > serving.limits.logprobs_max) {
    return FieldError(field, absl::StrCat(value, ", limit ", serving.limits.logprobs_max));
  }
  return static_cast<int32_t>(value);
}

}  // namespace

absl::Status CheckTask(Task wanted, const Serving& serving) {
  const Task task = serving.model.config().task;
  if (task == wanted) return absl::OkStatus();
  return MakeError({.reason = ErrorReason::kWrongTask},
                   task == Task::kClassification ? "this model is a classifier: it answers Classify"
                                                 : "this model is a language model: it answers Generate and Score");
}

absl::Status CheckRequestId(const std::string& id, const Serving& serving) {
  const auto printable = [](char c) { return c >= 0x20 && c < 0x7f; };
  if (static_cast<int64_t>(id.size()) > serving.limits.request_id_bytes_max) {
    return FieldError("request_id", absl::StrCat(id.size(), " bytes, limit ", serving.limits.request_id_bytes_max));
  }
  if (!std::all_of(id.begin(), id.end(), printable)) return FieldError("request_id", "not printable ASCII");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ParseMark(const std::string& mark, absl::string_view field) {
  if (mark.empty()) return mark;
  if (absl::Status status = CheckSessionId(mark, field); !status.ok()) return status;
  return mark;
}

absl::StatusOr<std::vector<int32_t>> EncodeText(const std::string& text, absl::string_view field, bool add_special,
                                                const Serving& serving) {
  if (serving.tokenizer == nullptr) {
    return MakeError({.reason = ErrorReason::kNoTokenizer, .field = std::string(field)},
                     absl::StrCat(field, ": this checkpoint has no tokenizer.json; give token ids"));
  }
  if (static_cast<int64_t>(text.size()) > serving.limits.prompt_bytes_max) {
    return MakeError({.reason = ErrorReason::kPromptTooLong, .field = std::string(field)},
                     absl::StrCat(field, ": ", text.size(), " bytes, limit ", serving.limits.prompt_bytes_max,
                                  " (prompt_bytes_max)"));
  }
  absl::StatusOr<std::vector<int32_t>> ids = serving.tokenizer->Encode(text, add_special);
  if (!ids.ok()) return FieldError(field, ids.status().message());
  // A tokenizer may know more ids than the model has rows.
  for (size_t i = 0; i < ids->size(); ++i) {
    if ((*ids)[i] < serving.model.config().vocab_size) continue;
    return FieldError(field, absl::StrCat("token ", i, " has id ", (*ids)[i], ", beyond the model's vocabulary of ",
                                          serving.model.config().vocab_size));
  }
  return ids;
}

absl::Status CheckIds(absl::Span<const uint32_t> ids, absl::string_view field, const Serving& serving) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < serving.model.config().vocab_size) continue;
    return FieldError(absl::StrCat(field, "[", i, "]"),
                      absl::StrCat(ids[i], " is no token id: below ", serving.model.config().vocab_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<Request> ParseGenerate(const v1::GenerateRequest& message, const Serving& serving, TimePoint deadline) {
  if (absl::Status s = CheckTask(Task::kCausalLm, serving); !s.ok()) return s;
  if (absl::Status s = CheckRequestId(message.request_id(), serving); !s.ok()) return s;
  Request request = {.kind = RequestKind::kGenerate, .deadline = deadline};
  absl::StatusOr<SamplingParams> sampling = ParseSampling(message.sampling(), serving);
  if (!sampling.ok()) return sampling.status();
  request.sampling = *std::move(sampling);
  absl::StatusOr<StopParams> stop = ParseStop(message.stop(), serving);
  if (!stop.ok()) return stop.status();
  request.stop = *std::move(stop);
  if (message.has_n() && (message.n() < 1 || message.n() > serving.limits.n_max)) {
    return FieldError("n", absl::StrCat(message.n(), ", range 1 to ", serving.limits.n_max));
  }
  request.n = message.has_n() ? static_cast<int32_t>(message.n()) : 1;
  if (message.has_logprobs()) {
    absl::StatusOr<int32_t> k = CheckLogprobs(message.logprobs(), "logprobs", serving);
    if (!k.ok()) return k.status();
    request.logprobs = *k;
  }
  int64_t limit = serving.limits.prompt_tokens_max;
  absl::string_view limit_name = "prompt_tokens_max";
  if (message.has_prompt_logprobs()) {
    absl::StatusOr<int32_t> k = CheckLogprobs(message.prompt_logprobs(), "prompt_logprobs", serving);
    if (!k.ok()) return k.status();
    request.prompt_logprobs = *k;
    if (serving.limits.score_tokens_max < limit) {
      limit = serving.limits.score_tokens_max;
      limit_name = "score_tokens_max, with prompt_logprobs";
    }
  }
  if (message.has_cache() && message.cache() == v1::CACHE_OFF) request.cache = false;
  if (absl::Status s = ParseSession(message, request); !s.ok()) return s;
  if (absl::Status s = ParseSealed(message, serving, request); !s.ok()) return s;
  if (!message.has_session() && !message.has_sealed_state()) {
    absl::StatusOr<std::vector<int32_t>> prompt = ParsePrompt(message, limit, limit_name, serving);
    if (!prompt.ok()) return prompt.status();
    request.prompt = *std::move(prompt);
  } else if (message.has_text() || message.has_tokens()) {
    if (absl::Status s = ParseSessionPrompt(message, limit, limit_name, serving, request); !s.ok()) return s;
  }
  if (absl::Status s = CheckPositions(request.prompt.size(), request.stop.max_tokens, "stop.max_tokens", serving);
      !s.ok()) {
    return s;
  }
  return request;
}

absl::StatusOr<std::vector<int32_t>> ParsePiece(const v1::AppendRequest& message, const Serving& serving) {
  Request piece;
  absl::Status s = ParseSessionPrompt(message, serving.limits.prompt_tokens_max, "prompt_tokens_max", serving, piece);
  if (!s.ok()) return s;
  return std::move(piece.prompt);
}

absl::StatusOr<Request> ParseAppend(const v1::AppendRequest& message, const Serving& serving, TimePoint deadline) {
  if (absl::Status s = CheckTask(Task::kCausalLm, serving); !s.ok()) return s;
  Request request = {.kind = RequestKind::kAppend, .deadline = deadline};
  absl::StatusOr<std::string> id = ParseSessionName(message.session(), "session");
  if (!id.ok()) return id.status();
  request.session = *std::move(id);
  absl::StatusOr<std::string> mark = ParseMark(message.mark(), "mark");
  if (!mark.ok()) return mark.status();
  request.mark = *std::move(mark);
  absl::Status s = ParseSessionPrompt(message, serving.limits.prompt_tokens_max, "prompt_tokens_max", serving, request);
  if (!s.ok()) return s;
  return request;
}

absl::StatusOr<Request> ParseScore(const v1::ScoreRequest& message, const Serving& serving, TimePoint deadline) {
  if (absl::Status s = CheckTask(Task::kCausalLm, serving); !s.ok()) return s;
  if (absl::Status s = CheckRequestId(message.request_id(), serving); !s.ok()) return s;
  Request request = {.kind = RequestKind::kScore, .deadline = deadline};
  absl::StatusOr<int32_t> k = CheckLogprobs(message.alternatives(), "alternatives", serving);
  if (!k.ok()) return k.status();
  request.prompt_logprobs = *k;
  absl::StatusOr<std::vector<int32_t>> prompt =
      ParsePrompt(message, serving.limits.score_tokens_max, "score_tokens_max", serving);
  if (!prompt.ok()) return prompt.status();
  request.prompt = *std::move(prompt);
  const char* field = message.has_text() ? "text" : "tokens.ids";
  if (absl::Status s = CheckPositions(request.prompt.size(), 0, field, serving); !s.ok()) return s;
  return request;
}

absl::StatusOr<Request> ParseClassify(const v1::ClassifyRequest& message, const Serving& serving, TimePoint deadline) {
  if (absl::Status s = CheckTask(Task::kClassification, serving); !s.ok()) return s;
  if (absl::Status s = CheckRequestId(message.request_id(), serving); !s.ok()) return s;
  Request request = {.kind = RequestKind::kClassify, .deadline = deadline};
  absl::StatusOr<std::vector<int32_t>> prompt =
      ParsePrompt(message, serving.limits.classify_tokens_max, "classify_tokens_max", serving);
  if (!prompt.ok()) return prompt.status();
  request.prompt = *std::move(prompt);
  return request;
}

}  // namespace barista

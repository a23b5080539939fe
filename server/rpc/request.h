// From a message to a valid value, once: only what these functions return goes inward. Every error names the field by
// its path in the message, the value and the limit.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "barista/v1/inference.pb.h"
#include "server/engine/request.h"
#include "server/rpc/serving.h"

namespace barista {

// `deadline`: the call's own, already cut to limits.deadline_seconds_max.
absl::StatusOr<Request> ParseGenerate(const v1::GenerateRequest& message, const Serving& serving, TimePoint deadline);
// The first message of an Append; ParsePiece: a later one, as token ids.
absl::StatusOr<Request> ParseAppend(const v1::AppendRequest& message, const Serving& serving, TimePoint deadline);
absl::StatusOr<std::vector<int32_t>> ParsePiece(const v1::AppendRequest& message, const Serving& serving);
absl::StatusOr<Request> ParseScore(const v1::ScoreRequest& message, const Serving& serving, TimePoint deadline);
absl::StatusOr<Request> ParseClassify(const v1::ClassifyRequest& message, const Serving& serving, TimePoint deadline);

// Errors: kWrongTask.
absl::Status CheckTask(Task wanted, const Serving& serving);
// Printable ASCII within limits.request_id_bytes_max; empty: none.
absl::Status CheckRequestId(const std::string& id, const Serving& serving);
// The name of a mark, or empty: none. The characters are those of a session's id.
absl::StatusOr<std::string> ParseMark(const std::string& mark, absl::string_view field);
// Token ids of `text`, special tokens of tokenizer.json added where asked for. field: the path for messages.
absl::StatusOr<std::vector<int32_t>> EncodeText(const std::string& text, absl::string_view field, bool add_special,
                                                const Serving& serving);
// Each id in [0, vocab_size).
absl::Status CheckIds(absl::Span<const uint32_t> ids, absl::string_view field, const Serving& serving);

}  // namespace barista

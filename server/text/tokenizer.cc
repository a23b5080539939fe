#include "server/text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/text/barista_text/barista_text.h"
#include "server/text/detokenizer.h"
#include "server/text/utf8.h"

namespace barista {
namespace {

const uint8_t* BytesOf(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

std::string_view ViewOf(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

// Takes the error text over and frees it.
absl::Status StatusOf(barista_text_string error) {
  if (error.data == nullptr) return absl::OkStatus();
  const std::string message(ViewOf(error.data, error.size));
  barista_text_string_free(error);
  return absl::InvalidArgumentError(message);
}

std::optional<barista_text_piece_view> FindPiece(const barista_text_tokenizer* handle, int32_t id) {
  barista_text_piece_view piece;
  if (id < 0 || !barista_text_piece(handle, static_cast<uint32_t>(id), &piece)) return std::nullopt;
  return piece;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status file = std::filesystem::status(path, error);
  if (!std::filesystem::exists(file)) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  if (!std::filesystem::is_regular_file(file)) return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.message()));
  if (size > Tokenizer::kFileBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": ", size, " bytes, the limit is ", Tokenizer::kFileBytesMax));
  }
  std::string bytes(size, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  }
  return bytes;
}

}  // namespace

void Tokenizer::Deleter::operator()(barista_text_tokenizer* handle) const { barista_text_destroy(handle); }

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& path) {
  absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = FromJson(*bytes);
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(), absl::StrCat(path, ": ", tokenizer.status().message()));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(std::string_view json) {
  barista_text_tokenizer* handle = nullptr;
  const absl::Status status = StatusOf(barista_text_create(BytesOf(json), json.size(), &handle));
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("not a usable tokenizer.json: ", status.message()));
  return std::unique_ptr<Tokenizer>(new Tokenizer(Handle(handle)));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view utf8, bool add_special) const {
  const size_t invalid = FirstInvalidUtf8(utf8);
  if (invalid != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("text is not valid UTF-8 at byte ", invalid, " of ", utf8.size()));
  }
  barista_text_ids ids;
  const absl::Status status =
      StatusOf(barista_text_encode(handle_.get(), BytesOf(utf8), utf8.size(), add_special, &ids));
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("text cannot be encoded: ", status.message()));
  std::vector<int32_t> result(ids.data, ids.data + ids.size);  // ids fit: barista_text_create bounds them
  barista_text_ids_free(ids);
  return result;
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids) const {
  Detokenizer detokenizer(*this);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.Push(id);
  return text += detokenizer.Flush();
}

absl::StatusOr<std::string> Tokenizer::DecodeWithSpecial(absl::Span<const int32_t> ids) const {
  const std::vector<uint32_t> unsigned_ids(ids.begin(), ids.end());
  barista_text_string text;
  const absl::Status status = StatusOf(barista_text_decode(handle_.get(), unsigned_ids.data(), unsigned_ids.size(),
                                                           /*skip_special_tokens=*/false, &text));
  if (!status.ok()) return status;
  std::string result(ViewOf(text.data, text.size));
  barista_text_string_free(text);
  return result;
}

absl::Status Tokenizer::CheckIds(absl::Span<const int32_t> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    const absl::StatusOr<std::string_view> bytes = TokenBytes(ids[i]);
    if (!bytes.ok()) return absl::OutOfRangeError(absl::StrCat("position ", i, ": ", bytes.status().message()));
  }
  return absl::OkStatus();
}

size_t Tokenizer::vocab_size() const { return barista_text_vocab_size(handle_.get()); }

absl::StatusOr<std::string_view> Tokenizer::TokenBytes(int32_t id) const {
  const std::optional<barista_text_piece_view> piece = FindPiece(handle_.get(), id);
  if (piece.has_value()) return ViewOf(piece->next, piece->next_size);
  return absl::OutOfRangeError(
      absl::StrCat("token id ", id, " is not in the tokenizer, whose largest id is ", vocab_size() - 1));
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view token) const {
  uint32_t id = 0;
  if (!barista_text_token_to_id(handle_.get(), BytesOf(token), token.size(), &id)) return std::nullopt;
  return static_cast<int32_t>(id);
}

Tokenizer::Piece Tokenizer::TextPiece(int32_t id, bool at_start) const {
  const std::optional<barista_text_piece_view> piece = FindPiece(handle_.get(), id);
  if (!piece.has_value() || piece->special) return {.bytes = {}, .exists = false};
  if (at_start) return {.bytes = ViewOf(piece->first, piece->first_size), .exists = true};
  return {.bytes = ViewOf(piece->next, piece->next_size), .exists = true};
}

}  // namespace barista

// Text to token ids and back, by a Hugging Face tokenizer.json. Immutable once loaded: every method is const and may be
// called by any number of threads at once; the owner must outlive the Detokenizers made from it.
#ifndef BARISTA_SERVER_TEXT_TOKENIZER_H_
#define BARISTA_SERVER_TEXT_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

struct barista_text_tokenizer;

namespace barista {

class Tokenizer {
 public:
  static constexpr size_t kFileBytesMax = size_t{256} << 20;

  // Errors name the path and the reason: NotFound, ResourceExhausted above kFileBytesMax, else InvalidArgument.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& path);
  // The bytes of a tokenizer.json. The file's own truncation and padding are ignored. InvalidArgument with the reason.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(std::string_view json);

  // Special tokens written in the text are recognised. add_special: also the ones tokenizer.json puts around a text
  // (begin of sequence and the like). InvalidArgument names the byte offset of text that is not UTF-8.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view utf8, bool add_special = false) const;

  // Valid UTF-8: ill-formed bytes become U+FFFD. Special tokens and ids that do not exist add nothing. Equal to what a
  // Detokenizer gives for the same ids in all.
  std::string Decode(absl::Span<const int32_t> ids) const;
  // The same with special tokens written out, for people who look at tokens.
  absl::StatusOr<std::string> DecodeWithSpecial(absl::Span<const int32_t> ids) const;

  // OutOfRange naming the first position whose id has no token.
  absl::Status CheckIds(absl::Span<const int32_t> ids) const;

  // Largest id plus one, added tokens included. Not every id below it need have a token.
  size_t vocab_size() const;

  // What the token adds to text: raw bytes, perhaps a part of a character. Special tokens give their name. OutOfRange
  // for an id without a token. The view lives as long as the tokenizer.
  absl::StatusOr<std::string_view> TokenBytes(int32_t id) const;

  // `token` is spelt as in tokenizer.json (byte-level alphabets included).
  std::optional<int32_t> TokenId(std::string_view token) const;

  // What the token adds to decoded text, at its start or after other tokens: as TokenBytes, but nothing for special
  // tokens and ids without a token, for which exists is false.
  struct Piece {
    std::string_view bytes;
    bool exists;
  };
  Piece TextPiece(int32_t id, bool at_start) const;

 private:
  struct Deleter {
    void operator()(barista_text_tokenizer* handle) const;
  };
  using Handle = std::unique_ptr<barista_text_tokenizer, Deleter>;
  explicit Tokenizer(Handle handle) : handle_(std::move(handle)) {}

  Handle handle_;
};

}  // namespace barista

#endif  // BARISTA_SERVER_TEXT_TOKENIZER_H_

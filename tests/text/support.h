// What the text tests share: the tokenizers of tests/text/data and the library's own decoder as an oracle.
#ifndef BARISTA_TESTS_TEXT_SUPPORT_H_
#define BARISTA_TESTS_TEXT_SUPPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "server/text/barista_text/barista_text.h"
#include "server/text/tokenizer.h"

namespace barista {

// "bytes" -> tests/text/data/bytes.json, from the root of the repository, where tests run.
std::string DataPath(const std::string& name);
std::string ReadFileOrDie(const std::string& path);
std::unique_ptr<Tokenizer> LoadOrDie(const std::string& name);

// Whole-sequence decoding by Hugging Face tokenizers itself.
class LibraryDecoder {
 public:
  explicit LibraryDecoder(const std::string& name);
  ~LibraryDecoder();
  LibraryDecoder(const LibraryDecoder&) = delete;
  LibraryDecoder& operator=(const LibraryDecoder&) = delete;

  std::string Decode(absl::Span<const int32_t> ids) const;

 private:
  barista_text_tokenizer* handle_ = nullptr;
};

// The pieces of a stream, the flush last.
std::vector<std::string> StreamPieces(const Tokenizer& tokenizer, absl::Span<const int32_t> ids);
std::string Joined(const std::vector<std::string>& pieces);

// A code point as UTF-8, by its bits; also for surrogates and values that have no UTF-8.
std::string EncodeCodePoint(uint32_t code_point);

}  // namespace barista

#endif  // BARISTA_TESTS_TEXT_SUPPORT_H_

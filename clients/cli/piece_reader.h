// Input of any length, from a file or standard input, piece by piece: what streams to the server is never held whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <istream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/io.h"

namespace barista::cli {

// Where to cut a text that goes on: after the last line break of its last quarter, else after the last space there,
// else at its end, or at most 3 bytes before where a UTF-8 character would be split. Above 0 for 4 bytes and more.
size_t TextCut(absl::string_view text);

// Not thread-safe.
class PieceReader {
 public:
  static constexpr size_t kPieceBytes = size_t{256} * 1024;

  enum class Cut { kAnywhere, kText };  // kText: by TextCut

  // `name`: a file, or - for io.in, which outlives the reader. NotFound where it cannot be opened.
  static absl::StatusOr<std::unique_ptr<PieceReader>> Open(const std::string& name, Cut cut, Io& io);

  // The next piece, of at most kPieceBytes; empty at the end. NotFound where the input cannot be read on.
  absl::StatusOr<std::string> Next();

  // Of the whole input; 0 where that is not known.
  uint64_t bytes_total() const { return bytes_total_; }

 private:
  PieceReader(const std::string& name, Cut cut) : name_(name), cut_(cut) {}
  absl::Status CannotRead() const;

  std::string name_;
  Cut cut_;
  std::ifstream file_;
  std::istream* in_ = nullptr;  // file_, or of Io
  std::string rest_;            // read and not yet given out
  uint64_t bytes_total_ = 0;
};

}  // namespace barista::cli

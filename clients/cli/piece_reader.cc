#include "clients/cli/piece_reader.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace barista::cli {
namespace {

// Bytes of the UTF-8 character that `lead` begins; 0 where it begins none.
size_t CharacterBytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC0) return 0;
  if (lead < 0xE0) return 2;
  return lead < 0xF0 ? 3 : 4;
}

// Bytes at the end of `text` that begin a character and do not end it; 0 for what is no UTF-8.
size_t UnfinishedBytes(absl::string_view text) {
  for (size_t count = 1; count <= std::min<size_t>(3, text.size()); ++count) {
    const size_t length = CharacterBytes(static_cast<unsigned char>(text[text.size() - count]));
    if (length > 0) return length > count ? count : 0;
  }
  return 0;
}

}  // namespace

size_t TextCut(absl::string_view text) {
  const absl::string_view last_quarter = text.substr(text.size() - text.size() / 4);
  for (const char end : {'\n', ' '}) {
    const size_t found = last_quarter.rfind(end);
    if (found != absl::string_view::npos) return text.size() - last_quarter.size() + found + 1;
  }
  return text.size() - UnfinishedBytes(text);
}

absl::StatusOr<std::unique_ptr<PieceReader>> PieceReader::Open(const std::string& name, Cut cut, Io& io) {
  std::unique_ptr<PieceReader> reader(new PieceReader(name, cut));
  if (name == "-") {
    reader->name_ = "standard input";
    reader->in_ = &io.in;
    return reader;
  }
  reader->file_.open(name, std::ios::binary);
  if (!reader->file_) return reader->CannotRead();
  reader->in_ = &reader->file_;
  std::error_code error;
  if (std::filesystem::is_regular_file(name, error)) {
    const uintmax_t bytes = std::filesystem::file_size(name, error);
    if (!error) reader->bytes_total_ = bytes;
  }
  return reader;
}

absl::StatusOr<std::string> PieceReader::Next() {
  const size_t kept = rest_.size();
  rest_.resize(kPieceBytes);
  in_->read(rest_.data() + kept, static_cast<std::streamsize>(kPieceBytes - kept));
  rest_.resize(kept + static_cast<size_t>(in_->gcount()));
  const bool more = rest_.size() == kPieceBytes && in_->peek() != std::istream::traits_type::eof();
  if (in_->bad()) return CannotRead();
  const size_t cut = more && cut_ == Cut::kText ? TextCut(rest_) : rest_.size();
  std::string piece = rest_.substr(0, cut);
  rest_.erase(0, cut);
  return piece;
}

absl::Status PieceReader::CannotRead() const { return absl::NotFoundError(absl::StrCat("cannot read ", name_)); }

}  // namespace barista::cli

// The text or the token ids that a command works on, from whichever of the flags, the argument or stdin names it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cli/flags.h"
#include "clients/cli/io.h"

namespace barista::cli {

// The ids of "1,2,3"; empty for an empty list.
absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(absl::string_view list);

class Prompt {
 public:
  // Declares --prompt, --prompt_file and, unless `text_only`, --tokens.
  void AddFlags(FlagSet& flags, bool text_only = false);

  // Reads the file or stdin. InvalidArgument unless the text or ids were given exactly once (or, where `optional`, not
  // at all); NotFound where the file cannot be read. Sent as they are: whether they are UTF-8 and of allowed length is
  // the server's to say.
  absl::Status Resolve(const std::vector<std::string>& arguments, Io& io, bool optional = false);

  // Whether Resolve with these arguments reads io.in.
  bool ReadsStdin(const std::vector<std::string>& arguments) const;

  bool is_text() const { return !tokens_.has_value(); }
  const std::string& text() const { return text_; }

  // Writes it into the `text` or `tokens` of a request, where one was given.
  template <typename Request>
  void Fill(Request& request) const {
    if (!given_) return;
    if (is_text()) {
      request.set_text(text_);
    } else {
      request.mutable_tokens()->mutable_ids()->Assign(tokens_->begin(), tokens_->end());
    }
  }

 private:
  bool text_only_ = false;
  bool given_ = false;
  std::optional<std::string> prompt_;
  std::optional<std::string> file_;
  std::optional<std::vector<uint32_t>> tokens_;
  std::string text_;
};

}  // namespace barista::cli

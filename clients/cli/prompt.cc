#include "clients/cli/prompt.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "clients/cli/input.h"

namespace barista::cli {
absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(absl::string_view list) {
  std::vector<uint32_t> ids;
  if (list.empty()) return ids;
  for (const absl::string_view word : absl::StrSplit(list, ',')) {
    const absl::StatusOr<uint32_t> id = ParseInteger<uint32_t>(absl::StripAsciiWhitespace(word));
    if (!id.ok()) return absl::InvalidArgumentError(absl::StrCat("token id ", id.status().message()));
    ids.push_back(*id);
  }
  return ids;
}

void Prompt::AddFlags(FlagSet& flags, bool text_only) {
  text_only_ = text_only;
  flags.Section("Input, exactly one of (an argument TEXT is short for --prompt, an argument - for --prompt_file=-)");
  flags.Value("prompt", "TEXT", "The text.", [this](absl::string_view value) {
    prompt_ = std::string(value);
    return absl::OkStatus();
  });
  flags.Value("prompt_file", "FILE", "A file that holds the text; - is standard input.",
              [this](absl::string_view value) {
                file_ = std::string(value);
                return absl::OkStatus();
              });
  if (text_only) return;
  flags.Value("tokens", "ID,ID,...", "Token ids, sent as they stand.", [this](absl::string_view value) {
    absl::StatusOr<std::vector<uint32_t>> ids = ParseTokenIds(value);
    if (ids.ok()) tokens_ = *std::move(ids);
    return ids.status();
  });
}

absl::Status Prompt::Resolve(const std::vector<std::string>& arguments, Io& io, bool optional) {
  const size_t sources = arguments.size() + prompt_.has_value() + file_.has_value() + tokens_.has_value();
  if (optional && sources == 0) return absl::OkStatus();
  if (sources != 1) {
    const absl::string_view choices =
        text_only_ ? "TEXT, -, --prompt or --prompt_file" : "TEXT, -, --prompt, --prompt_file or --tokens";
    return absl::InvalidArgumentError(absl::StrCat(sources == 0 ? "no input" : "more than one input",
                                                   ": give exactly one of ", choices,
                                                   arguments.size() > 1 ? " (quote a text of several words)" : ""));
  }
  given_ = true;
  if (prompt_.has_value()) text_ = *prompt_;
  if (!arguments.empty()) text_ = arguments.front();
  const bool from_stdin = ReadsStdin(arguments);
  if (!from_stdin && !file_.has_value()) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadInput(from_stdin ? "-" : *file_, io);
  if (!text.ok()) return text.status();
  text_ = *std::move(text);
  return absl::OkStatus();
}

bool Prompt::ReadsStdin(const std::vector<std::string>& arguments) const {
  return file_ == "-" || (!arguments.empty() && arguments.front() == "-");
}

}  // namespace barista::cli

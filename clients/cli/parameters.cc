#include "clients/cli/parameters.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/json.h"
#include "clients/cli/sampling_flags.h"

namespace barista::cli {

void Parameters::AddFlags(FlagSet& flags) {
  AddSamplingFlags(flags, request_);
  AddStopFlags(flags, request_);
  AddSpeculationFlag(flags, request_);
}

void Parameters::AddCommands(SlashCommands& commands, Io& io) {
  AddFlags(flags_);
  commands.Add({"/set", "NAME VALUE", "set a parameter, such as: /set temperature 0.8 (\\n in a value is a line break)",
                [this, &io](absl::string_view assignment) { Set(assignment, io); }, flags_.Names()});
  commands.Add({"/params", "", "show the parameters that are set", [this, &io](absl::string_view) {
                  io.out << Dump(MessageJson(request_.sampling())) << "\n"
                         << Dump(MessageJson(request_.stop())) << "\n";
                  if (request_.has_speculation_tokens()) {
                    io.out << Dump({{"speculation_tokens", request_.speculation_tokens()}}) << "\n";
                  }
                }});
  commands.Add({"/reset", "", "forget them: the server's defaults again", [this](absl::string_view) {
                  request_.Clear();
                  changed_ = true;
                }});
  commands.Add({"/flags", "", "list every parameter", [this, &io](absl::string_view) { io.out << flags_.Help(); }});
}

void Parameters::Set(absl::string_view assignment, Io& io) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(assignment, absl::MaxSplits(' ', 1));
  std::string value;
  std::string error;
  if (parts.first.empty() || parts.second.empty()) {
    error = "usage: /set NAME VALUE";
  } else if (!absl::CUnescape(parts.second, &value, &error)) {
    error = absl::StrCat(parts.second, ": ", error);
  } else {
    error = std::string(flags_.Set(parts.first, value).message());
  }
  if (!error.empty()) {
    io.err << error << "\n";
  } else {
    changed_ = true;
  }
}

}  // namespace barista::cli

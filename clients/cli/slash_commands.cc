#include "clients/cli/slash_commands.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace barista::cli {

void SlashCommands::Run(absl::string_view line, Io& io) const {
  const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
  const auto found = std::find_if(commands_.begin(), commands_.end(),
                                  [&](const SlashCommand& command) { return command.name == words.first; });
  if (found == commands_.end()) {
    io.err << "unknown command " << words.first << "; /help lists them\n";
    return;
  }
  found->run(words.second);
}

std::string SlashCommands::Help() const {
  std::string help;
  for (const SlashCommand& command : commands_) {
    absl::StrAppendFormat(&help, "  %-26s%s\n", absl::StrCat(command.name, " ", command.arguments), command.help);
  }
  return help;
}

std::vector<std::string> SlashCommands::Completions(absl::string_view typed) const {
  std::vector<std::string> found;
  const auto add = [&](std::string candidate) {
    if (absl::StartsWith(candidate, typed)) found.push_back(std::move(candidate));
  };
  if (!absl::StartsWith(typed, "/")) return found;
  for (const SlashCommand& command : commands_) {
    if (absl::StartsWith(typed, absl::StrCat(command.name, " "))) {
      for (const std::string& word : command.words) add(absl::StrCat(command.name, " ", word, " "));
    } else {
      add(absl::StrCat(command.name, command.arguments.empty() ? "" : " "));
    }
  }
  return found;
}

}  // namespace barista::cli

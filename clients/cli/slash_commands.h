// The commands that start with a slash, of the REPL and of `chat`: one table for what they do, their help and Tab.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "clients/cli/io.h"

namespace barista::cli {

struct SlashCommand {
  std::string name;       // with its slash
  std::string arguments;  // as its help shows them; empty: none
  std::string help;
  std::function<void(absl::string_view rest)> run;  // with what follows the name and one space
  std::vector<std::string> words = {};              // that Tab offers as the first argument
};

// Not thread-safe.
class SlashCommands {
 public:
  void Add(SlashCommand command) { commands_.push_back(std::move(command)); }

  // Runs a line that starts with a slash; says on io.err where there is no such command.
  void Run(absl::string_view line, Io& io) const;

  // One line a command, in the order added.
  std::string Help() const;

  // As LineReader::Completer.
  std::vector<std::string> Completions(absl::string_view typed) const;

 private:
  std::vector<SlashCommand> commands_;
};

}  // namespace barista::cli

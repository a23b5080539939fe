// What the REPL and `chat` share: texts are read one after another, those that start with a slash are commands, and the
// others are the caller's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "clients/cli/command.h"
#include "clients/cli/io.h"
#include "clients/cli/line_reader.h"
#include "clients/cli/slash_commands.h"

namespace barista::cli {

// Not thread-safe. `options` and `io` outlive it. Made before threads are, as LineEditor says.
class Dialogue {
 public:
  // `help` is what /help says before its list of commands.
  Dialogue(std::string help, LineReader::AtCtrlC at_ctrl_c, const Options& options, Io& io);

  // Those of the caller come first in the list; /tokens, /model, /help and /quit are Run's.
  SlashCommands& commands() { return commands_; }

  // Reads until the end of the input, /quit or Leave. Returns kOk, or kInterrupted where Ctrl-C at the prompt ended it.
  int Run(const std::function<void(const std::string& text)>& on_text);

  // Run returns after what is running now.
  void Leave() { left_ = true; }

 private:
  enum class Outcome { kText, kInterrupted, kEnd };
  Outcome ReadText(std::string& text);
  void AddCommonCommands();

  const std::string help_;
  const LineReader::AtCtrlC at_ctrl_c_;
  const Options& options_;
  Io& io_;
  SlashCommands commands_;
  std::unique_ptr<LineReader> reader_;
  bool left_ = false;
};

}  // namespace barista::cli

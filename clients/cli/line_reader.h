// Where the lines of the REPL and of `chat` come from: a person at a terminal, with editing, history and completion
// (line_editor.h), or a stream that is simply read. One thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "clients/cli/io.h"

namespace barista::cli {

class LineReader {
 public:
  enum class Outcome {
    kLine,
    kDiscarded,  // Ctrl-C: what was typed does not count
    kEnd,        // end of the input, or Ctrl-D on an empty line
  };

  // What Ctrl-C does at the prompt.
  enum class AtCtrlC {
    kDiscard,  // the line that is being typed does not count
    kLeave,    // that, or where there is none: Read's caller, or the process itself with kInterrupted, leaves
  };

  // Given a line up to the cursor: all that this line could become. Empty: nothing to complete here, Tab is a tab.
  using Completer = std::function<std::vector<std::string>(const std::string& typed)>;

  virtual ~LineReader() = default;

  // Shows `prompt` where a person reads it, and waits for a line. `line`, without its line break, is UTF-8 as typed; it
  // has line breaks of its own where a text of several lines was recalled. With kDiscarded it is what was typed.
  virtual Outcome Read(const std::string& prompt, std::string& line) = 0;

  // Puts a text, which may have several lines, into the history, now and for later runs. What cannot be kept is not.
  virtual void Remember(const std::string& text) = 0;
};

// The editor where `io` is a terminal at both ends (its streams are then the process's own), else a plain reader.
// `io` outlives the reader.
std::unique_ptr<LineReader> MakeLineReader(Io& io, LineReader::Completer completer, LineReader::AtCtrlC at_ctrl_c);

}  // namespace barista::cli

// Lines typed at a terminal, edited with libedit: arrow keys and Emacs keys (or what ~/.editrc says), history by Up and
// Ctrl-R, completion by Tab.
//
// Ctrl-C is a key while a line is edited (no signal: nothing to race with), and stops a call while one runs
// (interrupt.h). Between the two SIGINT is ignored, so that one pressed a moment too late does not end the program.
#pragma once

#include <histedit.h>

#include <csignal>
#include <optional>
#include <string>

#include "clients/cli/line_reader.h"

namespace barista::cli {

// On stdin and stdout, which must be terminals. At most one lives at a time, made before threads are: it sets the
// process's character type locale. The history is $XDG_STATE_HOME/barista/history, else ~/.local/state/barista/history,
// for this user's eyes only.
class LineEditor final : public LineReader {
 public:
  explicit LineEditor(Completer completer);
  ~LineEditor() override;
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  Outcome Read(const std::string& prompt, std::string& line) override;
  void Remember(const std::string& text) override;

 private:
  // Keys, as libedit calls them.
  static unsigned char Discard(EditLine* edit, wint_t key);
  static unsigned char Suspend(EditLine* edit, wint_t key);
  static unsigned char Complete(EditLine* edit, wint_t key);
  static char* Prompt(EditLine* edit);
  void Bind(const wchar_t* key, const wchar_t* name, unsigned char (*function)(EditLine*, wint_t));

  const Completer completer_;
  const std::string history_path_;  // empty: kept nowhere
  History* const history_;
  EditLine* const edit_;
  struct sigaction previous_ {};
  std::string prompt_;
  std::optional<std::string> discarded_;  // what Ctrl-C found typed
};

}  // namespace barista::cli

// The REPL: type the beginning of a text, read its continuation. For completion models: lines are prompts, not turns
// of a chat; /more goes on where the last text ended. In a session lines are added to its past.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/dialogue.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/parameters.h"
#include "clients/cli/session_name.h"
#include "clients/cli/stream_printer.h"

namespace barista::cli {
namespace {

constexpr char kHelp[] =
    "Type the beginning of a text and press Enter; the model continues it. A line that ends in \\ goes on in the\n"
    "next one. Ctrl-C stops a running continuation or discards what is being typed, Ctrl-D leaves. On a terminal, Up\n"
    "and Ctrl-R find earlier lines, and Tab completes what starts with a /.\n";

class Repl final : public Command {
 public:
  std::string Usage() const override { return "repl [flags]"; }
  std::string Summary() const override { return "Type prompts, read continuations; /help inside."; }
  void AddFlags(FlagSet& flags) override { parameters_.AddFlags(flags); }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    if (!arguments.empty() || options.json) {
      return ReportInputError(absl::InvalidArgumentError("repl takes no arguments and no --json"), options, io);
    }
    if (io.in_is_terminal) io.out << "barista at " << options.server << "; /help for help, Ctrl-D to leave\n";
    Dialogue dialogue(kHelp, LineReader::AtCtrlC::kDiscard, options, io);
    dialogue.commands().Add(
        {"/more", "", "go on where the last text ended", [&](absl::string_view) { More(options, io); }});
    parameters_.AddCommands(dialogue.commands(), io);
    dialogue.commands().Add({"/session", "[NAME]",
                             "add what follows to this session's past; without NAME, to none again",
                             [&](absl::string_view name) { UseSession(name, options, io); }});
    return dialogue.Run([&](const std::string& text) { Continue(&text, options, io); });
  }

 private:
  // `text` may be null, in a session that has a past.
  void Continue(const std::string* text, const Options& options, Io& io) {
    v1::GenerateRequest request = parameters_.request();
    if (!session_.empty()) request.set_session(session_);
    if (text != nullptr) request.set_text(*text);
    Generation generation;
    RunGenerate(request, options, io, generation);
    last_text_ = request.text() + generation.choices.front().text;
  }

  // Where the last text ended: a session knows its past, else all of it is sent again.
  void More(const Options& options, Io& io) {
    if (session_.empty() && last_text_.empty()) {
      io.err << "nothing to continue yet\n";
    } else {
      Continue(session_.empty() ? &last_text_ : nullptr, options, io);
    }
  }

  // A session that the server does not know changes nothing.
  void UseSession(absl::string_view given, const Options& options, Io& io) {
    const std::string name(absl::StripAsciiWhitespace(given));
    if (!name.empty() && MakeSession()->Run({"get", name}, options, io) != kOk) return;
    session_ = name.empty() ? "" : SessionName(name);
    last_text_.clear();
  }

  Parameters parameters_;
  std::string session_;  // the name; empty: none
  std::string last_text_;
};

}  // namespace

std::unique_ptr<Command> MakeRepl() { return std::make_unique<Repl>(); }

}  // namespace barista::cli

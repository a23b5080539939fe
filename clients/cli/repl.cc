// The REPL: type the beginning of a text, read its continuation. For completion models: lines are prompts, not turns
// of a chat; /more goes on where the last text ended.
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/sampling_flags.h"
#include "clients/cli/stream_printer.h"

namespace barista::cli {
namespace {

constexpr absl::string_view kHelp =
    "Type the beginning of a text and press Enter; the model continues it. A line that ends in \\ goes on in the\n"
    "next one. Ctrl-C stops a running continuation, Ctrl-D leaves.\n"
    "  /more               go on where the last text ended\n"
    "  /set NAME VALUE     set a parameter, such as: /set temperature 0.8 (\\n in a value is a line break)\n"
    "  /params             show the parameters that are set\n"
    "  /reset              forget them: the server's defaults again\n"
    "  /flags              list every parameter\n"
    "  /tokens TEXT        show the token ids of a text\n"
    "  /model              describe the model\n"
    "  /help, /quit\n";

class Repl final : public Command {
 public:
  std::string Usage() const override { return "repl [flags]"; }
  std::string Summary() const override { return "Type prompts, read continuations; /help inside."; }

  void AddFlags(FlagSet& flags) override {
    AddSamplingFlags(flags, request_);
    AddStopFlags(flags, request_);
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    if (!arguments.empty() || options.json) {
      return ReportInputError(absl::InvalidArgumentError("repl takes no arguments and no --json"), options, io);
    }
    AddFlags(parameters_);
    if (io.in_is_terminal) io.out << "barista at " << options.server << "; /help for help, Ctrl-D to leave\n";
    std::string line;
    while (ReadLine(line, io)) {
      if (line == "/quit" || line == "/exit") break;
      if (absl::StartsWith(line, "/")) {
        RunLine(line, options, io);
      } else if (!line.empty()) {
        Continue(line, options, io);
      }
    }
    if (io.in_is_terminal) io.out << std::endl;
    return kOk;
  }

 private:
  // The next line, with the lines that a final backslash joins to it. False at the end of the input. Ctrl-C discards
  // what was typed.
  static bool ReadLine(std::string& line, Io& io) {
    const auto prompt = [&io](absl::string_view text) {
      if (io.in_is_terminal) io.out << text << std::flush;
    };
    const InterruptScope scope([&prompt] { prompt("\n> "); });
    prompt("> ");
    line.clear();
    std::string part;
    while (std::getline(io.in, part)) {
      if (!absl::EndsWith(part, "\\")) {
        line += part;
        return true;
      }
      absl::StrAppend(&line, absl::StripSuffix(part, "\\"), "\n");
      prompt(". ");
    }
    return !line.empty();
  }

  void Continue(const std::string& text, const Options& options, Io& io) {
    request_.set_text(text);
    Generation generation;
    RunGenerate(request_, options, io, generation);
    last_text_ = text + generation.choices.front().text;
  }

  void RunLine(absl::string_view line, const Options& options, Io& io) {
    const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    const auto& [command, rest] = words;
    if (command == "/help") {
      io.out << kHelp;
    } else if (command == "/more") {
      if (last_text_.empty()) io.err << "nothing to continue yet\n";
      if (!last_text_.empty()) Continue(last_text_, options, io);
    } else if (command == "/set") {
      SetParameter(rest, io);
    } else if (command == "/params") {
      io.out << Dump(MessageJson(request_.sampling())) << "\n" << Dump(MessageJson(request_.stop())) << "\n";
    } else if (command == "/reset") {
      request_.Clear();
    } else if (command == "/flags") {
      io.out << parameters_.Help();
    } else if (command == "/tokens") {
      MakeTokenize()->Run({std::string(rest)}, options, io);
    } else if (command == "/model") {
      MakeDescribe()->Run({}, options, io);
    } else {
      io.err << "unknown command " << command << "; /help lists them\n";
    }
  }

  void SetParameter(absl::string_view assignment, Io& io) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(assignment, absl::MaxSplits(' ', 1));
    std::string value;
    std::string error;
    if (parts.first.empty() || parts.second.empty()) {
      error = "usage: /set NAME VALUE";
    } else if (!absl::CUnescape(parts.second, &value, &error)) {
      error = absl::StrCat(parts.second, ": ", error);
    } else {
      error = std::string(parameters_.Set(parts.first, value).message());
    }
    if (!error.empty()) io.err << error << "\n";
  }

  FlagSet parameters_;
  v1::GenerateRequest request_;
  std::string last_text_;
};

}  // namespace

std::unique_ptr<Command> MakeRepl() { return std::make_unique<Repl>(); }

}  // namespace barista::cli

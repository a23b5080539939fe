// The REPL: type the beginning of a text, read its continuation. For completion models: lines are prompts, not turns
// of a chat; /more goes on where the last text ended. In a session lines are added to its past.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/line_reader.h"
#include "clients/cli/sampling_flags.h"
#include "clients/cli/session_name.h"
#include "clients/cli/stream_printer.h"

namespace barista::cli {
namespace {

struct SlashCommand {
  absl::string_view name;
  absl::string_view arguments;
  absl::string_view help;
};

constexpr SlashCommand kCommands[] = {
    {"/more", "", "go on where the last text ended"},
    {"/set", "NAME VALUE", "set a parameter, such as: /set temperature 0.8 (\\n in a value is a line break)"},
    {"/session", "[NAME]", "add what follows to this session's past; without NAME, to none again"},
    {"/params", "", "show the parameters that are set"},
    {"/reset", "", "forget them: the server's defaults again"},
    {"/flags", "", "list every parameter"},
    {"/tokens", "TEXT", "show the token ids of a text"},
    {"/model", "", "describe the model"},
    {"/help", "", "show this"},
    {"/quit", "", "leave, as Ctrl-D does"},
};

constexpr absl::string_view kHelp =
    "Type the beginning of a text and press Enter; the model continues it. A line that ends in \\ goes on in the\n"
    "next one. Ctrl-C stops a running continuation or discards what is being typed, Ctrl-D leaves. On a terminal, Up\n"
    "and Ctrl-R find earlier lines, and Tab completes what starts with a /.\n";

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
    const std::unique_ptr<LineReader> reader =
        MakeLineReader(io, [this](const std::string& typed) { return Completions(typed); });
    std::string text;
    while (ReadText(*reader, text)) {
      if (text.empty()) continue;
      reader->Remember(text);
      if (text == "/quit" || text == "/exit") break;
      if (absl::StartsWith(text, "/")) {
        RunLine(text, options, io);
      } else {
        Continue(text, options, io);
      }
    }
    return kOk;
  }

 private:
  // The next line, with the lines that a final backslash joins to it. False at the end of the input.
  static bool ReadText(LineReader& reader, std::string& text) {
    text.clear();
    std::string line;
    while (true) {
      switch (reader.Read(text.empty() ? "> " : ". ", line)) {
        case LineReader::Outcome::kEnd:
          return !text.empty();
        case LineReader::Outcome::kDiscarded:
          text.clear();
          break;
        case LineReader::Outcome::kLine:
          absl::StrAppend(&text, absl::StripSuffix(line, "\\"));
          if (!absl::EndsWith(line, "\\")) return true;
          text += "\n";
      }
    }
  }

  // Slash-commands, and names of parameters after /set.
  std::vector<std::string> Completions(const std::string& typed) const {
    std::vector<std::string> found;
    const auto add = [&](std::string candidate) {
      if (absl::StartsWith(candidate, typed)) found.push_back(std::move(candidate));
    };
    if (absl::StartsWith(typed, "/set ")) {
      for (const std::string& name : parameters_.Names()) add(absl::StrCat("/set ", name, " "));
    } else if (absl::StartsWith(typed, "/")) {
      for (const auto& [name, arguments, help] : kCommands) add(absl::StrCat(name, arguments.empty() ? "" : " "));
    }
    return found;
  }

  static void Help(Io& io) {
    io.out << kHelp;
    for (const SlashCommand& command : kCommands) {
      io.out << absl::StrFormat("  %-20s%s\n", absl::StrCat(command.name, " ", command.arguments), command.help);
    }
  }

  void Continue(const std::string& text, const Options& options, Io& io) {
    request_.set_text(text);
    Generation generation;
    RunGenerate(request_, options, io, generation);
    last_text_ = text + generation.choices.front().text;
  }

  // Where the last text ended: a session knows its past, else all of it is sent again.
  void More(const Options& options, Io& io) {
    if (request_.has_session()) {
      request_.clear_prompt();
      Generation generation;
      RunGenerate(request_, options, io, generation);
    } else if (last_text_.empty()) {
      io.err << "nothing to continue yet\n";
    } else {
      Continue(last_text_, options, io);
    }
  }

  // A session that the server does not know changes nothing.
  void UseSession(const std::string& name, const Options& options, Io& io) {
    if (!name.empty() && MakeSession()->Run({"get", name}, options, io) != kOk) return;
    request_.clear_session();
    if (!name.empty()) request_.set_session(SessionName(name));
    last_text_.clear();
  }

  void RunLine(absl::string_view line, const Options& options, Io& io) {
    const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    const auto& [command, rest] = words;
    if (command == "/help") {
      Help(io);
    } else if (command == "/more") {
      More(options, io);
    } else if (command == "/session") {
      UseSession(std::string(absl::StripAsciiWhitespace(rest)), options, io);
    } else if (command == "/set") {
      SetParameter(rest, io);
    } else if (command == "/params") {
      io.out << Dump(MessageJson(request_.sampling())) << "\n" << Dump(MessageJson(request_.stop())) << "\n";
    } else if (command == "/reset") {
      request_.clear_sampling();
      request_.clear_stop();
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

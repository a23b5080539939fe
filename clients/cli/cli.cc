#include "clients/cli/cli.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"

namespace barista::cli {
namespace {

struct Entry {
  std::string name;
  std::unique_ptr<Command> (*make)();
};

const std::vector<Entry>& Commands() {
  static const auto* const commands = new std::vector<Entry>{
      {"generate", MakeGenerate}, {"score", MakeScore},           {"classify", MakeClassify},
      {"tokenize", MakeTokenize}, {"detokenize", MakeDetokenize}, {"describe", MakeDescribe},
      {"session", MakeSession},   {"append", MakeAppend},         {"chat", MakeChat},
      {"repl", MakeRepl},
  };
  return *commands;
}

const Entry* FindCommand(absl::string_view name) {
  const auto found =
      std::find_if(Commands().begin(), Commands().end(), [&](const Entry& entry) { return entry.name == name; });
  return found == Commands().end() ? nullptr : &*found;
}

constexpr absl::string_view kExitCodes =
    "Exit codes:\n"
    "  0    done\n"
    "  1    failed, for a reason not below (a fault of the server, a snapshot that was damaged in its store:\n"
    "       DATA_LOSS; a file that cannot be read or written)\n"
    "  2    wrong command line; nothing was sent\n"
    "  3    the server refused the request (INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE,\n"
    "       NOT_FOUND, ALREADY_EXISTS, UNAUTHENTICATED, PERMISSION_DENIED; too long)\n"
    "  4    no server there, or it is shutting down (UNAVAILABLE)\n"
    "  5    the server is full (RESOURCE_EXHAUSTED)\n"
    "  6    the deadline passed (DEADLINE_EXCEEDED)\n"
    "  7    another call runs on the session, or with the same request_id: try again (ABORTED)\n"
    "  130  interrupted by Ctrl-C\n";

void AddOptions(FlagSet& flags, Options& options, bool& help) {
  flags.Section("Common flags");
  flags.Value("server", "HOST:PORT", "Server to call. Default: $BARISTA_SERVER, else 127.0.0.1:8470.",
              [&](absl::string_view value) {
                options.server = std::string(value);
                return value.empty() ? absl::InvalidArgumentError("is empty; give HOST:PORT") : absl::OkStatus();
              });
  flags.Value("deadline_s", "SECONDS", "Give up after this long. Default: the server's own limit.",
              [&](absl::string_view value) {
                absl::StatusOr<double> seconds = ParseNumber(value);
                if (seconds.ok() && !(*seconds > 0 && *seconds <= 1e6)) {
                  return absl::InvalidArgumentError(absl::StrCat(value, " is not above 0 and at most 1e6 seconds"));
                }
                if (seconds.ok()) options.deadline = *seconds;
                return seconds.status();
              });
  AddSecurityFlags(flags, options.security);
  flags.Switch("json", "Print one JSON object: the result on stdout, or the error on stderr.",
               [&](bool on) { options.json = on; });
  flags.Switch("quiet", "No progress and no statistics on stderr.", [&](bool on) { options.quiet = on; });
  flags.Switch("help", "Show this help.", [&](bool on) { help = on; });
}

std::string GeneralHelp() {
  std::string help =
      "barista: command-line client of the Barista inference server\n\n"
      "Usage: barista [--server=HOST:PORT] COMMAND [flags] [arguments]\n\nCommands:\n";
  for (const Entry& entry : Commands()) {
    absl::StrAppend(&help, absl::StrFormat("  %-12s%s\n", entry.name, entry.make()->Summary()));
  }
  absl::StrAppend(&help,
                  "  help        Help on one command: barista help COMMAND\n\n"
                  "Without a command, on a terminal: repl.\n\n");
  FlagSet flags;
  Options options;
  bool unused = false;
  AddOptions(flags, options, unused);
  return absl::StrCat(help, flags.Help(), "\n", kExitCodes);
}

int UsageError(absl::string_view message, const Options& options, Io& io) {
  ReportUsageError(message, options.json, io);
  return kUsage;
}

int RunCommand(const Entry& entry, std::span<const std::string> args, Options options, Io& io) {
  const std::unique_ptr<Command> command = entry.make();
  FlagSet flags;
  bool help = false;
  command->AddFlags(flags);
  AddOptions(flags, options, help);
  // Known before the flags are parsed, so that a mistake before --json is told in JSON too.
  options.json = options.json || std::find(args.begin(), args.end(), "--json") != args.end();
  const absl::StatusOr<std::vector<std::string>> arguments = flags.Parse(args);
  if (help) {
    const std::string details = command->Details();
    io.out << "Usage: barista " << command->Usage() << "\n\n"
           << command->Summary() << "\n\n"
           << details << (details.empty() ? "" : "\n") << flags.Help();
    return kOk;
  }
  if (!arguments.ok()) {
    return UsageError(absl::StrCat(arguments.status().message(), " (see: barista help ", entry.name, ")"), options, io);
  }
  if (const absl::Status read = ReadSecurityFiles(options.security); !read.ok()) {
    return ReportInputError(read, options, io);
  }
  const int exit_code = command->Run(*arguments, options, io);
  if (io.out.flush()) return exit_code;
  return ReportInputError(absl::UnavailableError("cannot write to standard output"), options, io);
}

}  // namespace

int RunCli(std::span<const std::string> args, Io& io) {
  Options options;
  options.server = io.server;
  options.security.api_key = io.api_key;
  bool help = false;
  bool version = false;
  FlagSet flags;
  AddOptions(flags, options, help);
  flags.Switch("version", "Show the client's version.", [&](bool on) { version = on; });
  absl::StatusOr<std::vector<std::string>> words = flags.Parse(args, /*stop_at_argument=*/true);
  if (!words.ok()) return UsageError(absl::StrCat(words.status().message(), " (see: barista help)"), options, io);
  if (version) {
    io.out << "barista " << BARISTA_VERSION << "\n";
    return kOk;
  }
  if (!words->empty() && words->front() == "help") {
    help = true;
    words->erase(words->begin());
  }
  if (words->empty() && !help && io.in_is_terminal) words->push_back("repl");
  if (words->empty()) {
    (help ? io.out : io.err) << GeneralHelp();
    return help ? kOk : kUsage;
  }
  const Entry* entry = FindCommand(words->front());
  if (entry == nullptr) {
    std::vector<std::string> names;
    for (const Entry& known : Commands()) names.push_back(known.name);
    const std::string nearest = Nearest(words->front(), names);
    return UsageError(
        absl::StrCat("unknown command '", words->front(), "'",
                     nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"), " (see: barista help)"),
        options, io);
  }
  words->erase(words->begin());
  if (help) *words = {"--help"};
  return RunCommand(*entry, *words, std::move(options), io);
}

}  // namespace barista::cli

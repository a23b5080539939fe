// `session`: what is done with sessions and snapshots but for adding to their past; that is `generate --session`,
// `append` and `chat`.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/session_action.h"
#include "clients/cli/session_flags.h"

namespace barista::cli {
namespace {

struct Action {
  absl::string_view name;
  absl::string_view arguments;
  absl::string_view flags;  // names, with spaces between
  absl::string_view help;
  size_t words_min;
  size_t words_max;
  int (*run)(const SessionCall& call);
};

constexpr size_t kAnyNumber = SIZE_MAX;
constexpr Action kActions[] = {
    {"create", "[NAME]", "request_id", "make an empty session; without NAME it gets one", 0, 1, CreateSession},
    {"get", "NAME", "", "show a session, and what it can be rewound to", 1, 1, GetSession},
    {"list", "", "", "show all sessions", 0, 0, ListSessions},
    {"fork", "NAME COPY...", "repeat_parent request_id", "copy a session; each copy then goes its own way", 2,
     kAnyNumber, ForkSession},
    {"rewind", "NAME", "tokens mark turns request_id", "put a session back: --tokens=N, --mark=NAME or --turns=N", 1, 1,
     RewindSession},
    {"delete", "NAME", "request_id", "delete a session", 1, 1, DeleteSession},
    {"export", "NAME FILE", "", "write a session to a file, or to standard output for -", 2, 2, ExportSession},
    {"import", "FILE [NAME]", "", "make a session of such a file, or of standard input for -", 1, 2, ImportSession},
    {"snapshot", "NAME [SNAP]", "tag replace request_id", "keep a session's state in the server's store", 1, 2,
     TakeSnapshot},
    {"restore", "SNAP [NAME]", "replace request_id", "make a session of a snapshot", 1, 2, RestoreSnapshot},
    {"snapshots", "", "", "show all snapshots", 0, 0, ListSnapshots},
    {"snapshot-info", "SNAP", "", "show a snapshot", 1, 1, ShowSnapshot},
    {"drop", "SNAP", "request_id", "delete a snapshot", 1, 1, DropSnapshot},
};

absl::Status UnknownAction(const std::string& word) {
  std::vector<std::string> names;
  for (const Action& action : kActions) names.emplace_back(action.name);
  const std::string nearest = Nearest(word, names);
  const std::string hint = nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?");
  return absl::InvalidArgumentError(
      absl::StrCat("unknown action '", word, "'", hint, " (see: barista session --help)"));
}

class Session final : public Command {
 public:
  std::string Usage() const override { return "session ACTION [flags] [NAME...]"; }
  std::string Summary() const override { return "Make, show, copy, keep, put back and delete sessions."; }
  std::string Details() const override {
    std::string details =
        "A session is a past that outlives the call: barista generate --session=NAME continues it,\n"
        "barista append --session=NAME adds a text to it. An exported one goes on, with the same bits, on any server "
        "with\n"
        "the same model, backend type and --max_positions. A snapshot survives the server that took it.\n"
        "Names may begin with sessions/ or snapshots/ or not.\n\nActions:\n";
    for (const Action& action : kActions) {
      absl::StrAppendFormat(&details, "  %-28s%s\n", absl::StrCat(action.name, " ", action.arguments), action.help);
    }
    return details;
  }
  void AddFlags(FlagSet& flags) override { flags_.Add(flags); }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    if (arguments.empty()) {
      return ReportInputError(absl::InvalidArgumentError("no action: see barista session --help"), options, io);
    }
    const auto* const action = std::find_if(std::begin(kActions), std::end(kActions),
                                            [&](const Action& known) { return known.name == arguments[0]; });
    if (action == std::end(kActions)) return ReportInputError(UnknownAction(arguments[0]), options, io);
    const std::vector<std::string> words(arguments.begin() + 1, arguments.end());
    if (words.size() < action->words_min || words.size() > action->words_max) {
      const absl::string_view space = action->arguments.empty() ? "" : " ";
      return ReportInputError(
          absl::InvalidArgumentError(absl::StrCat("usage: barista session ", action->name, space, action->arguments)),
          options, io);
    }
    const absl::Status flags = flags_.Check(action->name, action->flags);
    if (!flags.ok()) return ReportInputError(flags, options, io);
    return action->run({words, flags_, options, io});
  }

 private:
  SessionFlags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeSession() { return std::make_unique<Session>(); }

}  // namespace barista::cli

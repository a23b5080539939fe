// `session`: makes, shows, copies, deletes, exports and imports sessions. `generate --session` continues one, `append`
// adds a text to one.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "barista/v1/session.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/json.h"
#include "clients/cli/session_name.h"
#include "clients/cli/session_print.h"
#include "clients/cli/session_transfer.h"

namespace barista::cli {
namespace {

using Names = std::vector<std::string>;

constexpr uint32_t kPageSize = 1000;  // the contract's largest

// One call of SessionService. Returns the ExitCode, reported where it is not kOk.
template <typename Request, typename Response>
int Call(grpc::Status (v1::SessionService::StubInterface::*method)(grpc::ClientContext*, const Request&, Response*),
         const Request& request, Response& response, const Options& options, Io& io) {
  const auto stub = v1::SessionService::NewStub(Connect(options));
  return RunCall(options, io,
                 [&](grpc::ClientContext& context) { return (stub.get()->*method)(&context, request, &response); });
}

int Create(const Names& names, const Options& options, Io& io) {
  v1::CreateSessionRequest request;
  v1::CreateSessionResponse response;
  if (!names.empty()) request.set_session_id(SessionId(names[0]));
  const int exit_code = Call(&v1::SessionService::StubInterface::CreateSession, request, response, options, io);
  if (exit_code == kOk) PrintSession(response.session(), options, io);
  return exit_code;
}

int Get(const Names& names, const Options& options, Io& io) {
  v1::GetSessionRequest request;
  v1::GetSessionResponse response;
  request.set_name(SessionName(names[0]));
  const int exit_code = Call(&v1::SessionService::StubInterface::GetSession, request, response, options, io);
  if (exit_code == kOk) PrintSession(response.session(), options, io);
  return exit_code;
}

int List(const Names&, const Options& options, Io& io) {
  v1::ListSessionsRequest request;
  request.set_page_size(kPageSize);
  Sessions sessions;
  do {
    v1::ListSessionsResponse response;
    const int exit_code = Call(&v1::SessionService::StubInterface::ListSessions, request, response, options, io);
    if (exit_code != kOk) return exit_code;
    sessions.MergeFrom(response.sessions());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  PrintSessions(sessions, options, io);
  return kOk;
}

int Fork(const Names& names, const Options& options, Io& io) {
  v1::ForkSessionRequest request;
  v1::ForkSessionResponse response;
  request.set_name(SessionName(names[0]));
  for (size_t i = 1; i < names.size(); ++i) request.add_session_ids(SessionId(names[i]));
  const int exit_code = Call(&v1::SessionService::StubInterface::ForkSession, request, response, options, io);
  if (exit_code == kOk) PrintSessions(response.sessions(), options, io);
  return exit_code;
}

int Delete(const Names& names, const Options& options, Io& io) {
  v1::DeleteSessionRequest request;
  v1::DeleteSessionResponse response;
  request.set_name(SessionName(names[0]));
  const int exit_code = Call(&v1::SessionService::StubInterface::DeleteSession, request, response, options, io);
  if (exit_code == kOk && options.json) io.out << Dump(MessageJson(response)) << std::endl;
  return exit_code;
}

int Export(const Names& names, const Options& options, Io& io) {
  uint64_t bytes = 0;
  const int exit_code = ExportToFile(names[0], names[1], options, io, bytes);
  if (exit_code != kOk) return exit_code;
  if (options.json && names[1] != "-") {  // else stdout is the session's
    io.out << Dump({{"file", names[1]}, {"bytes", bytes}}) << std::endl;
  } else if (!options.json && !options.quiet && io.out) {
    io.err << "[" << bytes << " bytes]" << std::endl;
  }
  return kOk;
}

int Import(const Names& names, const Options& options, Io& io) {
  v1::Session session;
  const int exit_code = ImportFromFile(names[0], names.size() > 1 ? SessionId(names[1]) : "", options, io, session);
  if (exit_code == kOk) PrintSession(session, options, io);
  return exit_code;
}

struct Action {
  absl::string_view name;
  absl::string_view arguments;
  absl::string_view help;
  size_t names_min;
  size_t names_max;
  int (*run)(const Names& names, const Options& options, Io& io);
};

constexpr size_t kAnyNumber = SIZE_MAX;
constexpr Action kActions[] = {
    {"create", "[NAME]", "make an empty session; without NAME the server names it", 0, 1, Create},
    {"get", "NAME", "show a session", 1, 1, Get},
    {"list", "", "show all sessions", 0, 0, List},
    {"fork", "NAME COPY...", "copy a session; each copy then goes its own way", 2, kAnyNumber, Fork},
    {"delete", "NAME", "delete a session", 1, 1, Delete},
    {"export", "NAME FILE", "write a session to a file, or to standard output for -", 2, 2, Export},
    {"import", "FILE [NAME]", "make a session of such a file, or of standard input for -", 1, 2, Import},
};

class Session final : public Command {
 public:
  std::string Usage() const override { return "session ACTION [flags] [NAME...]"; }
  std::string Summary() const override { return "Make, show, copy, delete, export and import sessions."; }
  std::string Details() const override {
    std::string details =
        "A session is a past that outlives the call: barista generate --session=NAME continues it,\n"
        "barista append --session=NAME adds a text to it. An exported one goes on, with the same bits, on any server "
        "with\n"
        "the same model, backend type and --max_positions.\n"
        "Names may begin with sessions/ or not.\n\nActions:\n";
    for (const Action& action : kActions) {
      absl::StrAppendFormat(&details, "  %-28s%s\n", absl::StrCat(action.name, " ", action.arguments), action.help);
    }
    return details;
  }
  void AddFlags(FlagSet&) override {}

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    Names actions;
    for (const Action& action : kActions) actions.emplace_back(action.name);
    if (arguments.empty()) {
      return ReportInputError(absl::InvalidArgumentError("no action: see barista session --help"), options, io);
    }
    const auto found = std::find(actions.begin(), actions.end(), arguments[0]);
    if (found == actions.end()) {
      const std::string nearest = Nearest(arguments[0], actions);
      const std::string hint = nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?");
      return ReportInputError(absl::InvalidArgumentError(absl::StrCat("unknown action '", arguments[0], "'", hint,
                                                                      " (see: barista session --help)")),
                              options, io);
    }
    const Action& action = kActions[found - actions.begin()];
    const Names names(arguments.begin() + 1, arguments.end());
    if (names.size() < action.names_min || names.size() > action.names_max) {
      const absl::string_view space = action.arguments.empty() ? "" : " ";
      return ReportInputError(
          absl::InvalidArgumentError(absl::StrCat("usage: barista session ", action.name, space, action.arguments)),
          options, io);
    }
    return action.run(names, options, io);
  }
};

}  // namespace

std::unique_ptr<Command> MakeSession() { return std::make_unique<Session>(); }

}  // namespace barista::cli

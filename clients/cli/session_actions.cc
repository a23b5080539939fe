#include <cstdint>

#include "absl/status/status.h"
#include "clients/cli/error_report.h"
#include "clients/cli/json.h"
#include "clients/cli/session_action.h"
#include "clients/cli/session_name.h"
#include "clients/cli/session_print.h"
#include "clients/cli/session_transfer.h"
#include "server/words/drawn_id.h"

namespace barista::cli {

using Stub = v1::SessionService::StubInterface;

int CreateSession(const SessionCall& call) {
  v1::CreateSessionRequest request;
  v1::CreateSessionResponse response;
  NameNewSession(call, 0, request);
  const int exit_code = CallSessions(call, &Stub::CreateSession, request, response);
  if (exit_code == kOk) PrintSession(response.session(), call.options, call.io);
  return exit_code;
}

int GetSession(const SessionCall& call) {
  v1::GetSessionRequest request;
  v1::GetSessionResponse response;
  request.set_name(SessionName(call.words[0]));
  const int exit_code = CallSessions(call, &Stub::GetSession, request, response);
  if (exit_code == kOk) PrintSession(response.session(), call.options, call.io);
  return exit_code;
}

int ListSessions(const SessionCall& call) {
  Sessions sessions;
  const int exit_code = CallForAllPages(
      call, &Stub::ListSessions, [&](const v1::ListSessionsResponse& page) { sessions.MergeFrom(page.sessions()); });
  if (exit_code == kOk) PrintSessions(sessions, call.options, call.io);
  return exit_code;
}

int ForkSession(const SessionCall& call) {
  v1::ForkSessionRequest request;
  v1::ForkSessionResponse response;
  request.set_name(SessionName(call.words[0]));
  for (size_t i = 1; i < call.words.size(); ++i) request.add_session_ids(SessionId(call.words[i]));
  if (call.flags.repeat_parent.has_value()) request.set_repeat_parent(*call.flags.repeat_parent);
  const int exit_code = CallSessions(call, &Stub::ForkSession, request, response);
  if (exit_code == kOk) PrintSessions(response.sessions(), call.options, call.io);
  return exit_code;
}

int RewindSession(const SessionCall& call) {
  const SessionFlags& flags = call.flags;
  if (flags.tokens.has_value() + flags.mark.has_value() + flags.turns.has_value() != 1) {
    return ReportInputError(
        absl::InvalidArgumentError("session rewind takes exactly one of --tokens=N, --mark=NAME and --turns=N"),
        call.options, call.io);
  }
  v1::RewindSessionRequest request;
  v1::RewindSessionResponse response;
  request.set_name(SessionName(call.words[0]));
  if (flags.tokens.has_value()) request.set_tokens(*flags.tokens);
  if (flags.mark.has_value()) request.set_mark(*flags.mark);
  if (flags.turns.has_value()) request.set_turns(*flags.turns);
  const int exit_code = CallSessions(call, &Stub::RewindSession, request, response);
  if (exit_code != kOk) return exit_code;
  PrintSession(response.session(), call.options, call.io, {{"replayed_tokens", response.replayed_tokens()}});
  if (!call.options.json && !call.options.quiet) {
    call.io.err << "[" << response.replayed_tokens() << " tokens replayed]" << std::endl;
  }
  return kOk;
}

int DeleteSession(const SessionCall& call) {
  v1::DeleteSessionRequest request;
  v1::DeleteSessionResponse response;
  request.set_name(SessionName(call.words[0]));
  const int exit_code = CallSessions(call, &Stub::DeleteSession, request, response);
  if (exit_code == kOk && call.options.json) call.io.out << Dump(MessageJson(response)) << std::endl;
  return exit_code;
}

int ExportSession(const SessionCall& call) {
  uint64_t bytes = 0;
  const std::string& file = call.words[1];
  const int exit_code = ExportToFile(call.words[0], file, call.options, call.io, bytes);
  if (exit_code != kOk) return exit_code;
  if (call.options.json && file != "-") {  // else stdout is the session's
    call.io.out << Dump({{"file", file}, {"bytes", bytes}}) << std::endl;
  } else if (!call.options.json && !call.options.quiet && call.io.out) {
    call.io.err << "[" << bytes << " bytes]" << std::endl;
  }
  return kOk;
}

int ImportSession(const SessionCall& call) {
  v1::Session session;
  const std::string id = call.words.size() > 1 ? SessionId(call.words[1]) : DrawnId();
  const int exit_code = ImportFromFile(call.words[0], id, call.options, call.io, session);
  if (exit_code == kOk) PrintSession(session, call.options, call.io);
  return exit_code;
}

}  // namespace barista::cli

// The actions of `session`, each a function: session_actions.cc has those on sessions, snapshot_actions.cc those on
// snapshots. session.cc chooses between them, and has checked the number of words and the flags.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "barista/v1/session.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/io.h"
#include "clients/cli/session_flags.h"
#include "clients/cli/session_name.h"
#include "server/words/drawn_id.h"

namespace barista::cli {

// What an action is given. The parts outlive it.
struct SessionCall {
  const std::vector<std::string>& words;  // after the action
  const SessionFlags& flags;
  const Options& options;
  Io& io;
};

// Each returns the ExitCode, reported where it is not kOk.
int CreateSession(const SessionCall& call);
int GetSession(const SessionCall& call);
int ListSessions(const SessionCall& call);
int ForkSession(const SessionCall& call);
int RewindSession(const SessionCall& call);
int DeleteSession(const SessionCall& call);
int ExportSession(const SessionCall& call);
int ImportSession(const SessionCall& call);
int TakeSnapshot(const SessionCall& call);
int RestoreSnapshot(const SessionCall& call);
int ListSnapshots(const SessionCall& call);
int ShowSnapshot(const SessionCall& call);
int DropSnapshot(const SessionCall& call);

// The name of the session that a request is about; empty where it is about none, or the server is to name it.
template <typename Request>
std::string SessionOf(const Request& request) {
  if constexpr (requires { request.has_session_id(); }) {
    return request.has_session_id() ? SessionName(request.session_id()) : "";
  } else if constexpr (requires { request.name(); }) {
    return absl::StartsWith(request.name(), kSessionPrefix) ? request.name() : "";
  } else {
    return "";
  }
}

// Sets the id of the session that the request makes: that word, or a drawn one, so that a proxy before several servers
// sends the call that makes it, and all calls after that, to one of them. With a request_id the server draws it, since
// a repeated call must ask for the same.
template <typename Request>
void NameNewSession(const SessionCall& call, size_t word, Request& request) {
  if (word < call.words.size()) {
    request.set_session_id(SessionId(call.words[word]));
  } else if (!call.flags.request_id.has_value()) {
    request.set_session_id(DrawnId());
  }
}

// One RPC of SessionService, with the request_id of the flags where it has been given.
template <typename Request, typename Response>
int CallSessions(const SessionCall& call,
                 grpc::Status (v1::SessionService::StubInterface::*method)(grpc::ClientContext*, const Request&,
                                                                           Response*),
                 Request& request, Response& response) {
  if constexpr (requires { request.set_request_id(""); }) {
    if (call.flags.request_id.has_value()) request.set_request_id(*call.flags.request_id);
  }
  const auto stub = v1::SessionService::NewStub(Connect(call.options, SessionOf(request)));
  return RunCall(call.options, call.io,
                 [&](grpc::ClientContext& context) { return (stub.get()->*method)(&context, request, &response); });
}

// An RPC that lists, until there are no more pages; `add` takes each one's answer.
template <typename Request, typename Response, typename Add>
int CallForAllPages(const SessionCall& call,
                    grpc::Status (v1::SessionService::StubInterface::*method)(grpc::ClientContext*, const Request&,
                                                                              Response*),
                    const Add& add) {
  constexpr uint32_t kPageSize = 1000;  // the contract's largest
  Request request;
  request.set_page_size(kPageSize);
  do {
    Response response;
    const int exit_code = CallSessions(call, method, request, response);
    if (exit_code != kOk) return exit_code;
    add(response);
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return kOk;
}

}  // namespace barista::cli

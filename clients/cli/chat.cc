// `chat`: a conversation on one session over one Converse stream. Each line is appended to the session's past and
// answered; what is done with the session between two turns goes over SessionService.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "barista/v1/inference.pb.h"
#include "barista/v1/session.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/chat_commands.h"
#include "clients/cli/chat_turn.h"
#include "clients/cli/command.h"
#include "clients/cli/conversation.h"
#include "clients/cli/dialogue.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/parameters.h"
#include "clients/cli/session_name.h"
#include "server/words/drawn_id.h"

namespace barista::cli {
namespace {

constexpr char kHelp[] =
    "Type a line and press Enter: it joins the session's past, and the model goes on from there. A line that ends in "
    "\\\n"
    "goes on in the next one. Ctrl-C stops a running answer, and what was said until then stays; twice within a "
    "second,\n"
    "or on an empty line, it leaves, as Ctrl-D does. The session stays on the server.\n";

class Chat final : public Command {
 public:
  std::string Usage() const override { return "chat [flags]"; }
  std::string Summary() const override { return "Talk with a session, over one stream; /help inside."; }
  std::string Details() const override {
    return "Each line is appended to the session's past and answered. Where standard input is no terminal, its lines "
           "are\n"
           "answered one after another. --deadline_s is for the whole conversation.\n";
  }

  void AddFlags(FlagSet& flags) override {
    flags.Section("Session");
    flags.Value("session", "NAME", "The session. Default: a new one, with a name of its own.",
                [this](absl::string_view name) {
                  session_ = SessionName(name);
                  return absl::OkStatus();
                });
    parameters_.AddFlags(flags);
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    if (!arguments.empty() || options.json) {
      return ReportInputError(absl::InvalidArgumentError("chat takes no arguments and no --json"), options, io);
    }
    Dialogue dialogue(kHelp, LineReader::AtCtrlC::kLeave, options, io);
    if (session_.empty()) {
      const int exit_code = MakeOwnSession(options, io);
      if (exit_code != kOk) return exit_code;
    }
    Conversation conversation(options, session_);
    const std::optional<v1::ConverseStarted> started = conversation.Start(StartMessage());
    if (!started.has_value()) return Leave(conversation, /*stands=*/false, kOk, options, io);
    if (io.in_is_terminal) {
      io.out << "barista at " << options.server << "; " << session_ << " at position " << started->session_position()
             << "; /help for help, Ctrl-D to leave\n";
    }
    bool stands = true;
    const auto turn = [&](const std::vector<v1::ConverseRequest>& requests) {
      stands = RunTurn(conversation, requests, options, io);
      mark_.clear();
      if (!stands) dialogue.Leave();
    };
    dialogue.commands().Add(
        {"/more", "", "go on without a line of yours", [&](absl::string_view) { turn({GenerateMessage()}); }});
    AddChatCommands(dialogue.commands(), session_, mark_, options, io);
    parameters_.AddCommands(dialogue.commands(), io);
    const int exit_code = dialogue.Run([&](const std::string& text) {
      v1::ConverseRequest append;
      append.mutable_append()->set_text(text);
      turn({std::move(append), GenerateMessage()});
    });
    return Leave(conversation, stands, exit_code, options, io);
  }

 private:
  // Makes a session, and says its name. Returns the ExitCode, reported where it is not kOk.
  int MakeOwnSession(const Options& options, Io& io) {
    v1::CreateSessionRequest request;
    v1::CreateSessionResponse response;
    request.set_session_id(DrawnId());
    const auto stub = v1::SessionService::NewStub(Connect(options, SessionName(request.session_id())));
    const int exit_code = RunCall(
        options, io, [&](grpc::ClientContext& context) { return stub->CreateSession(&context, request, &response); });
    if (exit_code != kOk) return exit_code;
    session_ = response.session().name();
    io.err << "made " << session_ << "; barista chat --session=" << SessionId(session_) << " comes back to it"
           << std::endl;
    return kOk;
  }

  v1::ConverseStart StartMessage() const {
    v1::ConverseStart start;
    const v1::GenerateRequest& set = parameters_.request();
    start.set_session(session_);
    if (set.has_sampling()) *start.mutable_sampling() = set.sampling();
    if (set.has_stop()) *start.mutable_stop() = set.stop();
    return start;
  }

  // Once /set or /reset has changed something, every message says it all: one that the server refuses is not kept
  // there.
  v1::ConverseRequest GenerateMessage() const {
    v1::ConverseRequest request;
    v1::ConverseGenerate& generate = *request.mutable_generate();
    const v1::GenerateRequest& set = parameters_.request();
    if (parameters_.changed()) {
      *generate.mutable_sampling() = set.sampling();
      *generate.mutable_stop() = set.stop();
    }
    if (set.has_speculation_tokens()) generate.set_speculation_tokens(set.speculation_tokens());
    if (!mark_.empty()) generate.set_mark(mark_);
    return request;
  }

  // Ends the stream, where it still stands, and says why where that was not to be. Returns the ExitCode.
  static int Leave(Conversation& conversation, bool stands, int exit_code, const Options& options, Io& io) {
    const grpc::Status status = conversation.End();
    if (conversation.given_up()) {
      io.err << "barista: interrupted" << std::endl;
      return kInterrupted;
    }
    if (!io.out) return exit_code;  // not the server has failed then
    if (!status.ok()) return ReportCallError(status, Json::object(), options, io);
    if (stands) return exit_code;
    return ReportInputError(absl::UnavailableError("the server ended the conversation"), options, io);
  }

  Parameters parameters_;
  std::string session_;  // the name
  std::string mark_;     // for the end of the next answer; empty: none
};

}  // namespace

std::unique_ptr<Command> MakeChat() { return std::make_unique<Chat>(); }

}  // namespace barista::cli

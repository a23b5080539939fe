#include "clients/cli/chat_turn.h"

#include "clients/cli/error_report.h"
#include "clients/cli/generation.h"
#include "clients/cli/json.h"
#include "clients/cli/stream_printer.h"

namespace barista::cli {
namespace {

// What a Generate stream would have sent; empty for what it has not.
v1::GenerateResponse AsGenerateResponse(const v1::ConverseResponse& message) {
  v1::GenerateResponse response;
  if (message.has_progress()) *response.mutable_progress() = message.progress();
  if (message.has_chunk()) *response.mutable_chunk() = message.chunk();
  if (message.has_generated()) *response.mutable_summary() = message.generated();
  return response;
}

// What ended a turn whose last message `last` is no answer of the model.
void ReportEnd(const v1::ConverseResponse& last, bool interrupted, const Options& options, Io& io) {
  const v1::ConverseFailed& failed = last.failed();
  if (last.has_failed() && !(interrupted && failed.code() == grpc::StatusCode::CANCELLED)) {
    ReportCallError(StatusOf(failed), Json::object(), options, io);
    return;
  }
  if (options.quiet) return;
  io.err << "[interrupted";
  if (last.has_failed()) io.err << "; session at position " << failed.session_position();
  if (last.has_appended()) io.err << "; session at position " << last.appended().session_position();
  io.err << "]" << std::endl;
}

}  // namespace

bool RunTurn(Conversation& conversation, const std::vector<v1::ConverseRequest>& requests, const Options& options,
             Io& io) {
  StreamPrinter printer(options, io);
  Generation generation;
  v1::ConverseResponse last;
  const bool stands = conversation.Ask(requests, [&](const v1::ConverseResponse& message) {
    const v1::GenerateResponse response = AsGenerateResponse(message);
    generation.Add(response);
    printer.Print(response);
    last = message;
    return static_cast<bool>(io.out);
  });
  if (stands && last.has_generated()) {
    printer.Finish(generation);
    return true;
  }
  printer.Abort();
  if (stands) ReportEnd(last, conversation.interrupted(), options, io);
  return stands;
}

}  // namespace barista::cli

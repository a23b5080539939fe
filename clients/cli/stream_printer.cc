#include "clients/cli/stream_printer.h"

#include <grpcpp/support/sync_stream.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "barista/v1/inference.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"

namespace barista::cli {

void StreamPrinter::Print(const v1::GenerateResponse& response) {
  if (response.has_progress() && io_.err_is_terminal && !options_.quiet && response.progress().prompt_tokens() > 0) {
    const v1::PrefillProgress& progress = response.progress();
    io_.err << absl::StrFormat(
                   "\rreading the prompt: %d of %d tokens (%.0f %%)", progress.tokens_done(), progress.prompt_tokens(),
                   100.0 * static_cast<double>(progress.tokens_done()) / static_cast<double>(progress.prompt_tokens()))
            << std::flush;
    progress_shown_ = true;
  }
  if (response.has_prompt()) Text(response.prompt().text());
  if (response.has_chunk() && response.chunk().choice() == 0) Text(response.chunk().text());
}

void StreamPrinter::Finish(const Generation& generation) {
  ClearProgress();
  const bool several = generation.choices.size() > 1;
  for (size_t i = 0; i < generation.choices.size(); ++i) {
    const Choice& choice = generation.choices[i];
    if (i > 0) {
      EndLine();
      Text(absl::StrCat("--- choice ", i, " ---\n"));
      Text(choice.text);
    }
    if (choice.text.empty() && !choice.tokens.empty()) Text(absl::StrJoin(choice.tokens, " "));
    if (several || line_open_) EndLine();
  }
  if (!options_.quiet) io_.err << "[" << StatisticsLine(generation) << "]" << std::endl;
}

void StreamPrinter::Abort() {
  ClearProgress();
  EndLine();
}

void StreamPrinter::ClearProgress() {
  if (progress_shown_) io_.err << "\r\033[K" << std::flush;
  progress_shown_ = false;
}

void StreamPrinter::Text(absl::string_view text) {
  if (text.empty()) return;
  ClearProgress();
  io_.out << text << std::flush;
  line_open_ = text.back() != '\n';
}

void StreamPrinter::EndLine() {
  if (line_open_) io_.out << std::endl;
  line_open_ = false;
}

int RunGenerate(const v1::GenerateRequest& request, const Options& options, Io& io, Generation& generation) {
  StreamPrinter printer(options, io);
  const auto stub = v1::InferenceService::NewStub(Connect(options, request.session()));
  const auto call = [&](grpc::ClientContext& context) {
    const std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader = stub->Generate(&context, request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
      generation.Add(response);
      if (!options.json) printer.Print(response);
      if (!io.out) context.TryCancel();  // nobody reads what we print
    }
    const grpc::Status status = reader->Finish();
    return io.out ? status : grpc::Status::OK;  // not the call has failed then
  };
  const int exit_code = RunCall(options, io, call, [&] {
    printer.Abort();
    return Json::object();
  });
  if (exit_code != kOk || !io.out) return exit_code;
  if (options.json) {
    io.out << Dump(GenerationJson(generation)) << std::endl;
  } else {
    printer.Finish(generation);
  }
  return kOk;
}

}  // namespace barista::cli

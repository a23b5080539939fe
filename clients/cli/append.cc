// `append`: adds a text of any length to a session.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "barista/v1/inference.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/json.h"
#include "clients/cli/piece_reader.h"
#include "clients/cli/prompt.h"
#include "clients/cli/session_name.h"
#include "clients/cli/session_wait.h"

namespace barista::cli {
namespace {

std::string PositionText(const std::string& session, uint64_t position) {
  return absl::StrCat(session, " is at position ", position);
}

class Append final : public Command {
 public:
  std::string Usage() const override { return "append --session=NAME [flags] [FILE|-]"; }
  std::string Summary() const override { return "Add a text of any length to a session."; }
  std::string Details() const override {
    return "The text of FILE, or of standard input, becomes part of the session's past; nothing is generated. Where "
           "the\n"
           "call fails or Ctrl-C ends it, what the server had read stays: the position that is told then says how "
           "much.\n";
  }

  void AddFlags(FlagSet& flags) override {
    flags.Section("Input");
    flags.Value("session", "NAME", "The session. Required.", [this](absl::string_view name) {
      session_ = SessionName(name);
      return absl::OkStatus();
    });
    flags.Value("tokens", "ID,ID,...", "Token ids instead of a text, sent as they stand.",
                [this](absl::string_view value) {
                  absl::StatusOr<std::vector<uint32_t>> ids = ParseTokenIds(value);
                  if (ids.ok()) tokens_ = *std::move(ids);
                  return ids.status();
                });
    flags.Value("mark", "NAME", "Name the position after the call: barista session rewind --mark=NAME goes back there.",
                [this](absl::string_view mark) {
                  message_.set_mark(std::string(mark));
                  return absl::OkStatus();
                });
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    absl::Status status = Prepare(arguments, io);
    if (!status.ok()) return ReportInputError(status, options, io);
    const std::shared_ptr<grpc::Channel> channel = Connect(options, session_);
    v1::AppendResponse response;
    grpc::StatusCode code = grpc::StatusCode::OK;
    const auto call = [&](grpc::ClientContext& context) {
      const grpc::Status end = Send(*v1::InferenceService::NewStub(channel), options, io, context, response, status);
      code = end.error_code();
      return end;
    };
    std::optional<v1::Session> left;
    const auto before_report = [&] {
      ClearProgress(io);
      // A session that another call runs on is not ours to tell about.
      if (code != grpc::StatusCode::ABORTED) left = WaitUntilIdle(channel, session_);
      return left.has_value() ? Json{{"session_position", left->position()}} : Json::object();
    };
    const int exit_code = RunCall(options, io, call, before_report);
    ClearProgress(io);
    if (exit_code == kOk && status.ok()) {
      Print(response, options, io);
      return kOk;
    }
    const int failure = exit_code == kOk ? ReportInputError(status, options, io) : exit_code;
    if (exit_code == kOk) left = WaitUntilIdle(channel, session_);
    if (left.has_value() && !options.json) {
      io.err << "  " << PositionText(session_, left->position()) << (left->busy() ? ", and busy" : "") << std::endl;
    }
    return failure;
  }

 private:
  // Fills the first message, before the call: nobody waits for a text that is still being typed.
  absl::Status Prepare(const std::vector<std::string>& arguments, Io& io) {
    if (session_.empty()) return absl::InvalidArgumentError("no session: give --session=NAME");
    if (arguments.size() + tokens_.has_value() > 1) {
      return absl::InvalidArgumentError("more than one input: give at most one of FILE, - or --tokens");
    }
    message_.set_session(session_);
    if (tokens_.has_value()) {
      message_.mutable_tokens()->mutable_ids()->Assign(tokens_->begin(), tokens_->end());
      return absl::OkStatus();
    }
    absl::StatusOr<std::unique_ptr<PieceReader>> reader =
        PieceReader::Open(arguments.empty() ? "-" : arguments.front(), PieceReader::Cut::kText, io);
    if (!reader.ok()) return reader.status();
    reader_ = *std::move(reader);
    absl::StatusOr<std::string> piece = reader_->Next();
    if (piece.ok()) message_.set_text(*std::move(piece));  // an empty one too, for the server to refuse
    return piece.status();
  }

  // Streams all of the input. Where it cannot be read on, the call is cancelled, `input` says why and OK is returned.
  grpc::Status Send(v1::InferenceService::StubInterface& stub, const Options& options, Io& io,
                    grpc::ClientContext& context, v1::AppendResponse& response, absl::Status& input) {
    const std::unique_ptr<grpc::ClientWriterInterface<v1::AppendRequest>> writer = stub.Append(&context, &response);
    while (writer->Write(message_)) {
      if (reader_ == nullptr) break;
      sent_ += message_.text().size();
      if (io.err_is_terminal && !options.quiet && !options.json) ShowProgress(io);
      absl::StatusOr<std::string> piece = reader_->Next();
      if (!piece.ok()) {
        input = piece.status();
        context.TryCancel();
        writer->Finish();
        return grpc::Status::OK;
      }
      if (piece->empty()) break;
      message_.clear_session();
      message_.clear_mark();
      message_.set_text(*std::move(piece));
    }
    writer->WritesDone();
    return writer->Finish();
  }

  void ShowProgress(Io& io) {
    io.err << "\rsent " << sent_;
    if (const uint64_t total = reader_->bytes_total(); total > 0) {
      io.err << " of " << total
             << absl::StrFormat(" bytes (%.0f %%)", 100.0 * static_cast<double>(sent_) / static_cast<double>(total));
    } else {
      io.err << " bytes";
    }
    io.err << std::flush;
    progress_shown_ = true;
  }

  void ClearProgress(Io& io) {
    if (progress_shown_) io.err << "\r\033[K" << std::flush;
    progress_shown_ = false;
  }

  void Print(const v1::AppendResponse& response, const Options& options, Io& io) const {
    if (options.json) {
      io.out << Dump({{"session_position", response.session_position()},
                      {"usage", UsageJson(response.usage())},
                      {"timings", TimingsJson(response.timings())},
                      {"model_fingerprint", response.model_fingerprint()}})
             << std::endl;
      return;
    }
    io.out << PositionText(session_, response.session_position()) << std::endl;
    if (options.quiet) return;
    io.err << "[" << response.usage().prompt_tokens() << " tokens";
    if (const double seconds = response.timings().prefill_seconds(); seconds > 0) {
      io.err << absl::StrFormat(" at %.1f tokens/s", static_cast<double>(response.usage().prompt_tokens()) / seconds);
    }
    io.err << "]" << std::endl;
  }

  std::string session_;  // the name
  std::optional<std::vector<uint32_t>> tokens_;
  std::unique_ptr<PieceReader> reader_;  // none with tokens_
  v1::AppendRequest message_;            // the one to send next
  uint64_t sent_ = 0;                    // bytes of text
  bool progress_shown_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeAppend() { return std::make_unique<Append>(); }

}  // namespace barista::cli

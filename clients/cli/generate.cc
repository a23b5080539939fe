#include "barista/v1/inference.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/prompt.h"
#include "clients/cli/sampling_flags.h"
#include "clients/cli/session_name.h"
#include "clients/cli/stream_printer.h"

namespace barista::cli {
namespace {

class Generate final : public Command {
 public:
  std::string Usage() const override { return "generate [flags] [TEXT|-]"; }
  std::string Summary() const override { return "Continue a prompt; the text appears as it is made."; }

  void AddFlags(FlagSet& flags) override {
    prompt_.AddFlags(flags);
    flags.Section("Session");
    flags.Value("session", "NAME", "Continue this session: the input is added to its past; none is needed then.",
                [this](absl::string_view name) {
                  request_.set_session(SessionName(name));
                  return absl::OkStatus();
                });
    AddSamplingFlags(flags, request_);
    AddStopFlags(flags, request_);
    flags.Section("Output");
    flags.Whole<uint32_t>("n", "Continuations to make of one prompt.", [this](uint32_t n) { request_.set_n(n); });
    flags.Whole<uint32_t>("logprobs", "With --json: log-probabilities, and of the N best alternatives.",
                          [this](uint32_t n) { request_.set_logprobs(n); });
    flags.Whole<uint32_t>("prompt_logprobs", "With --json: the same for the prompt's tokens.",
                          [this](uint32_t n) { request_.set_prompt_logprobs(n); });
    flags.Switch("echo", "Print the prompt before its continuation.", [this](bool on) { request_.set_echo(on); });
    AddRequestIdFlag(flags, request_);
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    const absl::Status resolved = prompt_.Resolve(arguments, io, /*optional=*/request_.has_session());
    if (!resolved.ok()) return ReportInputError(resolved, options, io);
    prompt_.Fill(request_);
    Generation generation;
    return RunGenerate(request_, options, io, generation);
  }

 private:
  Prompt prompt_;
  v1::GenerateRequest request_;
};

}  // namespace

std::unique_ptr<Command> MakeGenerate() { return std::make_unique<Generate>(); }

}  // namespace barista::cli

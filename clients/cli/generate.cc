#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/prompt.h"
#include "clients/cli/sampling_flags.h"
#include "clients/cli/seal_files.h"
#include "clients/cli/session_name.h"
#include "clients/cli/stream_printer.h"

namespace barista::cli {
namespace {

absl::Status SetCache(absl::string_view word, v1::GenerateRequest& request) {
  if (word != "on" && word != "off") {
    return absl::InvalidArgumentError(absl::StrCat("'", word, "' is neither on nor off"));
  }
  request.set_cache(word == "on" ? v1::CACHE_ON : v1::CACHE_OFF);
  return absl::OkStatus();
}

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
    flags.Value("mark", "NAME", "Name the position after the call: barista session rewind --mark=NAME goes back there.",
                [this](absl::string_view mark) {
                  request_.set_mark(std::string(mark));
                  return absl::OkStatus();
                });
    seal_.AddFlags(flags);
    AddSamplingFlags(flags, request_);
    AddStopFlags(flags, request_);
    AddSpeculationFlag(flags, request_);
    flags.Value("cache", "on|off", "Whether states of earlier prompts may be used and this one's kept; default on.",
                [this](absl::string_view word) { return SetCache(word, request_); });
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
    const absl::Status prepared = Prepare(arguments, io);
    if (!prepared.ok()) return ReportInputError(prepared, options, io);
    Generation generation;
    const int exit_code = RunGenerate(request_, options, io, generation);
    if (exit_code != kOk || !io.out) return exit_code;
    const absl::Status sealed = seal_.Write(generation.summary.value_or(v1::Summary()));
    return sealed.ok() ? kOk : ReportInputError(sealed, options, io);
  }

 private:
  absl::Status Prepare(const std::vector<std::string>& arguments, Io& io) {
    if (seal_.reads_stdin() && prompt_.ReadsStdin(arguments)) {
      return absl::InvalidArgumentError("standard input is both the prompt and the sealed state");
    }
    const absl::Status resolved = prompt_.Resolve(arguments, io, request_.has_session() || seal_.continues());
    if (!resolved.ok()) return resolved;
    prompt_.Fill(request_);
    return seal_.Prepare(request_, io);
  }

  Prompt prompt_;
  SealFiles seal_;
  v1::GenerateRequest request_;
};

}  // namespace

std::unique_ptr<Command> MakeGenerate() { return std::make_unique<Generate>(); }

}  // namespace barista::cli

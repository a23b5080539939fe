// `tokenize` and `detokenize`: text to token ids and back.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "barista/v1/tokenizer.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/json.h"
#include "clients/cli/prompt.h"

namespace barista::cli {
namespace {

class Tokenize final : public Command {
 public:
  std::string Usage() const override { return "tokenize [flags] [TEXT|-]"; }
  std::string Summary() const override { return "Token ids of a text."; }

  void AddFlags(FlagSet& flags) override {
    prompt_.AddFlags(flags, /*text_only=*/true);
    flags.Section("Output");
    flags.Switch("add_special_tokens", "Add what the tokenizer adds to a prompt. Default: true.",
                 [this](bool on) { request_.set_add_special_tokens(on); });
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    const absl::Status resolved = prompt_.Resolve(arguments, io);
    if (!resolved.ok()) return ReportInputError(resolved, options, io);
    request_.set_text(prompt_.text());
    v1::TokenizeResponse response;
    const auto stub = v1::TokenizerService::NewStub(Connect(options));
    const int exit_code = RunCall(
        options, io, [&](grpc::ClientContext& context) { return stub->Tokenize(&context, request_, &response); });
    if (exit_code != kOk) return exit_code;
    if (options.json) {
      const auto& ids = response.token_ids();
      io.out << Dump({{"tokens", std::vector<uint32_t>(ids.begin(), ids.end())},
                      {"pieces", std::vector<std::string>(response.pieces().begin(), response.pieces().end())}})
             << std::endl;
    } else {
      io.out << absl::StrJoin(response.token_ids(), ",") << std::endl;  // the form that --tokens takes
    }
    return kOk;
  }

 private:
  Prompt prompt_;
  v1::TokenizeRequest request_;
};

class Detokenize final : public Command {
 public:
  std::string Usage() const override { return "detokenize [flags] ID,ID,..."; }
  std::string Summary() const override { return "Text of token ids."; }

  void AddFlags(FlagSet& flags) override {
    flags.Section("Input (an argument ID,ID,... is short for --tokens)");
    flags.Value("tokens", "ID,ID,...", "The token ids.", [this](absl::string_view list) { return AddTokens(list); });
    flags.Section("Output");
    flags.Switch("skip_special_tokens", "Leave special tokens out of the text. Default: true.",
                 [this](bool on) { request_.set_skip_special_tokens(on); });
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    for (const std::string& list : arguments) {
      const absl::Status added = AddTokens(list);
      if (!added.ok()) return ReportInputError(added, options, io);
    }
    if (!given_) return ReportInputError(absl::InvalidArgumentError("no input: give --tokens=ID,ID,..."), options, io);
    v1::DetokenizeResponse response;
    const auto stub = v1::TokenizerService::NewStub(Connect(options));
    const int exit_code = RunCall(
        options, io, [&](grpc::ClientContext& context) { return stub->Detokenize(&context, request_, &response); });
    if (exit_code != kOk) return exit_code;
    if (options.json) {
      io.out << Dump({{"text", response.text()}}) << std::endl;
    } else {
      io.out << response.text() << std::endl;
    }
    return kOk;
  }

 private:
  absl::Status AddTokens(absl::string_view list) {
    const absl::StatusOr<std::vector<uint32_t>> ids = ParseTokenIds(list);
    if (!ids.ok()) return ids.status();
    request_.mutable_token_ids()->Add(ids->begin(), ids->end());
    given_ = true;
    return absl::OkStatus();
  }

  bool given_ = false;
  v1::DetokenizeRequest request_;
};

}  // namespace

std::unique_ptr<Command> MakeTokenize() { return std::make_unique<Tokenize>(); }
std::unique_ptr<Command> MakeDetokenize() { return std::make_unique<Detokenize>(); }

}  // namespace barista::cli

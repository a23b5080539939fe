#include <cmath>

#include "absl/strings/str_format.h"
#include "barista/v1/inference.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/json.h"
#include "clients/cli/prompt.h"

namespace barista::cli {
namespace {

// {"tokens": [ids], "logprobs": [null, …], "alternatives"?, "total_logprob", "usage", "timings", "model_fingerprint"}
Json ScoreJson(const v1::ScoreResponse& response, bool with_alternatives) {
  Json json = {{"tokens", Json::array()}, {"logprobs", Json::array()}};
  for (const v1::TokenLogprob& token : response.tokens()) {
    json["tokens"].push_back(token.token_id());
    json["logprobs"].push_back(token.has_logprob() ? FloatJson(token.logprob()) : Json(nullptr));
    if (with_alternatives) json["alternatives"].push_back(AlternativesJson(token));
  }
  json["total_logprob"] = response.total_logprob();
  json["usage"] = UsageJson(response.usage());
  json["timings"] = TimingsJson(response.timings());
  json["model_fingerprint"] = response.model_fingerprint();
  return json;
}

void PrintScore(const v1::ScoreResponse& response, Io& io) {
  io.out << "   token     logprob\n";
  for (const v1::TokenLogprob& token : response.tokens()) {
    io.out << absl::StrFormat("%8d", token.token_id());
    io.out << (token.has_logprob() ? absl::StrFormat("%12.5f", token.logprob()) : "           -");
    for (const v1::Alternative& other : token.alternatives()) {
      io.out << absl::StrFormat("  %d:%.5f", other.token_id(), other.logprob());
    }
    io.out << "\n";
  }
  io.out << absl::StrFormat("total %.5f", response.total_logprob());
  if (response.tokens_size() > 1) {
    io.out << absl::StrFormat(", perplexity %.5f", std::exp(-response.total_logprob() / (response.tokens_size() - 1)));
  }
  io.out << std::endl;
}

class Score final : public Command {
 public:
  std::string Usage() const override { return "score [flags] [TEXT|-]"; }
  std::string Summary() const override { return "Log-probability of every token of a text."; }

  void AddFlags(FlagSet& flags) override {
    prompt_.AddFlags(flags);
    flags.Section("Output");
    flags.Whole<uint32_t>("alternatives", "Show the N most likely tokens at each place too.",
                          [this](uint32_t n) { request_.set_alternatives(n); });
    AddRequestIdFlag(flags, request_);
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    const absl::Status resolved = prompt_.Resolve(arguments, io);
    if (!resolved.ok()) return ReportInputError(resolved, options, io);
    prompt_.Fill(request_);
    v1::ScoreResponse response;
    const auto stub = v1::InferenceService::NewStub(Connect(options));
    const int exit_code =
        RunCall(options, io, [&](grpc::ClientContext& context) { return stub->Score(&context, request_, &response); });
    if (exit_code != kOk) return exit_code;
    if (options.json) {
      io.out << Dump(ScoreJson(response, request_.alternatives() > 0)) << std::endl;
    } else {
      PrintScore(response, io);
    }
    return kOk;
  }

 private:
  Prompt prompt_;
  v1::ScoreRequest request_;
};

}  // namespace

std::unique_ptr<Command> MakeScore() { return std::make_unique<Score>(); }

}  // namespace barista::cli

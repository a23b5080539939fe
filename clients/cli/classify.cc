#include <algorithm>
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

// {"logits": […], "usage", "timings", "model_fingerprint"}
Json ClassifyJson(const v1::ClassifyResponse& response) {
  Json json = {{"logits", Json::array()}};
  for (const float logit : response.logits()) json["logits"].push_back(FloatJson(logit));
  json["usage"] = UsageJson(response.usage());
  json["timings"] = TimingsJson(response.timings());
  json["model_fingerprint"] = response.model_fingerprint();
  return json;
}

void PrintClasses(const v1::ClassifyResponse& response, Io& io) {
  if (response.logits().empty()) return;
  const float largest = *std::max_element(response.logits().begin(), response.logits().end());
  double sum = 0;
  for (const float logit : response.logits()) sum += std::exp(static_cast<double>(logit) - largest);
  io.out << "   label       logit  probability\n";
  for (int i = 0; i < response.logits_size(); ++i) {
    const double probability = std::exp(static_cast<double>(response.logits(i)) - largest) / sum;
    io.out << absl::StrFormat("%8d%12.5f%13.5f\n", i, response.logits(i), probability);
  }
  io.out << std::flush;
}

class Classify final : public Command {
 public:
  std::string Usage() const override { return "classify [flags] [TEXT|-]"; }
  std::string Summary() const override { return "Logits of a classifier for a text."; }

  void AddFlags(FlagSet& flags) override {
    prompt_.AddFlags(flags);
    flags.Section("Output");
    AddRequestIdFlag(flags, request_);
  }

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    const absl::Status resolved = prompt_.Resolve(arguments, io);
    if (!resolved.ok()) return ReportInputError(resolved, options, io);
    prompt_.Fill(request_);
    v1::ClassifyResponse response;
    const auto stub = v1::InferenceService::NewStub(Connect(options));
    const int exit_code = RunCall(
        options, io, [&](grpc::ClientContext& context) { return stub->Classify(&context, request_, &response); });
    if (exit_code != kOk) return exit_code;
    if (options.json) {
      io.out << Dump(ClassifyJson(response)) << std::endl;
    } else {
      PrintClasses(response, io);
    }
    return kOk;
  }

 private:
  Prompt prompt_;
  v1::ClassifyRequest request_;
};

}  // namespace

std::unique_ptr<Command> MakeClassify() { return std::make_unique<Classify>(); }

}  // namespace barista::cli

#include "clients/cli/sampling_flags.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/prompt.h"

namespace barista::cli {
namespace {

// "ID:BIAS,ID:BIAS" into the map, over what is there.
absl::Status AddLogitBias(absl::string_view list, v1::SamplingParams& sampling) {
  for (const absl::string_view entry : absl::StrSplit(list, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(entry, absl::MaxSplits(':', 1));
    const absl::StatusOr<uint32_t> id = ParseInteger<uint32_t>(parts.first);
    const absl::StatusOr<double> bias = ParseNumber(parts.second);
    if (!id.ok() || !bias.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("'", entry, "' is not ID:BIAS, such as 17:-2.5"));
    }
    (*sampling.mutable_logit_bias())[*id] = static_cast<float>(*bias);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSamplingFlags(FlagSet& flags, v1::GenerateRequest& request) {
  // Not taken until a flag is set: an untouched request has no sampling at all.
  const auto sampling = [&request] { return request.mutable_sampling(); };
  flags.Section("Sampling (defaults are the server's: see barista describe)");
  flags.Number("temperature", "Divides the logits; 0 is greedy.",
               [=](double x) { sampling()->set_temperature(static_cast<float>(x)); });
  flags.Whole<uint32_t>("top_k", "Keep the N most likely tokens; 0 keeps all.",
                        [=](uint32_t n) { sampling()->set_top_k(n); });
  flags.Number("top_p", "Keep the most likely tokens up to this probability.",
               [=](double x) { sampling()->set_top_p(static_cast<float>(x)); });
  flags.Number("min_p", "Keep tokens at least this fraction as likely as the first.",
               [=](double x) { sampling()->set_min_p(static_cast<float>(x)); });
  flags.Number("typical_p", "Locally typical sampling up to this probability.",
               [=](double x) { sampling()->set_typical_p(static_cast<float>(x)); });
  flags.Number("repetition_penalty", "Weakens tokens seen in prompt or output; 1 is off.",
               [=](double x) { sampling()->set_repetition_penalty(static_cast<float>(x)); });
  flags.Number("presence_penalty", "Subtracted once from tokens seen in the output.",
               [=](double x) { sampling()->set_presence_penalty(static_cast<float>(x)); });
  flags.Number("frequency_penalty", "Subtracted for each time a token was seen in the output.",
               [=](double x) { sampling()->set_frequency_penalty(static_cast<float>(x)); });
  flags.Value("logit_bias", "ID:X,...", "Added to the logits of these tokens.",
              [=](absl::string_view list) { return AddLogitBias(list, *sampling()); });
  flags.Whole<uint64_t>("seed", "Seed of the random numbers; without it the server draws one.",
                        [=](uint64_t n) { sampling()->set_seed(n); });
}

void AddStopFlags(FlagSet& flags, v1::GenerateRequest& request) {
  const auto stop = [&request] { return request.mutable_stop(); };
  flags.Section("When to stop");
  flags.Whole<uint32_t>("max_tokens", "Tokens to generate at most.", [=](uint32_t n) { stop()->set_max_tokens(n); });
  flags.Whole<uint32_t>("min_tokens", "Tokens before which nothing but max_tokens stops.",
                        [=](uint32_t n) { stop()->set_min_tokens(n); });
  flags.Value("stop", "TEXT", "Stop where this text appears; may be given several times.", [=](absl::string_view text) {
    stop()->add_stop_strings(std::string(text));
    return absl::OkStatus();
  });
  flags.Value("stop_token_ids", "ID,ID,...", "Stop at these tokens; may be given several times.",
              [=](absl::string_view list) {
                const absl::StatusOr<std::vector<uint32_t>> ids = ParseTokenIds(list);
                if (!ids.ok()) return ids.status();
                stop()->mutable_stop_token_ids()->Add(ids->begin(), ids->end());
                return absl::OkStatus();
              });
  flags.Switch("ignore_eos", "Never draw the model's end-of-sequence tokens.",
               [=](bool on) { stop()->set_ignore_eos(on); });
}

void AddSpeculationFlag(FlagSet& flags, v1::GenerateRequest& request) {
  flags.Section("Speed");
  flags.Whole<uint32_t>("speculation_tokens", "Draft N tokens a step from repeated text; the result is the same.",
                        [&request](uint32_t n) { request.set_speculation_tokens(n); });
}

}  // namespace barista::cli

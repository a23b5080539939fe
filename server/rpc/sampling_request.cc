#include "server/rpc/sampling_request.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/request.h"
#include "server/text/stop_strings.h"
#include "server/text/utf8.h"

namespace barista {
namespace {

struct RealField {
  const char* name;
  bool set;
  float value;
  double min, max;
  bool open = false;  // min itself is out of range
  float SamplingParams::*to;
};

absl::Status CheckReal(const RealField& f) {
  // As floats: 0.01f is less than 0.01.
  const float min = static_cast<float>(f.min), max = static_cast<float>(f.max);
  const bool above = f.open ? f.value > min : f.value >= min;
  if (above && f.value <= max) return absl::OkStatus();  // NaN fails both
  return FieldError(absl::StrCat("sampling.", f.name),
                    absl::StrCat(f.value, ", range ", f.open ? "above " : "", f.min, " to ", f.max));
}

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

absl::StatusOr<SamplingParams> ParseSampling(const v1::SamplingParams& m, const Serving& serving) {
  SamplingParams params = serving.sampling_defaults;
  const RealField fields[] = {
      {"temperature", m.has_temperature(), m.temperature(), 0, 100, false, &SamplingParams::temperature},
      {"top_p", m.has_top_p(), m.top_p(), 0, 1, true, &SamplingParams::top_p},
      {"min_p", m.has_min_p(), m.min_p(), 0, 1, false, &SamplingParams::min_p},
      {"typical_p", m.has_typical_p(), m.typical_p(), 0, 1, true, &SamplingParams::typical_p},
      {"repetition_penalty", m.has_repetition_penalty(), m.repetition_penalty(), 0.01, 100, false,
       &SamplingParams::repetition_penalty},
      {"presence_penalty", m.has_presence_penalty(), m.presence_penalty(), -100, 100, false,
       &SamplingParams::presence_penalty},
      {"frequency_penalty", m.has_frequency_penalty(), m.frequency_penalty(), -100, 100, false,
       &SamplingParams::frequency_penalty},
  };
  for (const RealField& f : fields) {
    if (!f.set) continue;
    if (absl::Status s = CheckReal(f); !s.ok()) return s;
    params.*f.to = f.value;
  }
  const int64_t vocab = serving.model.config().vocab_size;
  if (m.has_top_k()) {
    if (m.top_k() > vocab) return FieldError("sampling.top_k", absl::StrCat(m.top_k(), ", range 0 to ", vocab));
    params.top_k = static_cast<int32_t>(m.top_k());
  }
  if (static_cast<int64_t>(m.logit_bias_size()) > serving.limits.logit_bias_entries_max) {
    return FieldError("sampling.logit_bias",
                      absl::StrCat(m.logit_bias_size(), " entries, limit ", serving.limits.logit_bias_entries_max));
  }
  for (const auto& [id, bias] : m.logit_bias()) {
    const std::string field = absl::StrCat("sampling.logit_bias[", id, "]");
    if (id >= vocab) return FieldError(field, absl::StrCat("no token id: below ", vocab));
    if (!(bias >= -100 && bias <= 100)) return FieldError(field, absl::StrCat(bias, ", range -100 to 100"));
    params.logit_bias.emplace_back(static_cast<int32_t>(id), bias);
  }
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  params.seed = m.has_seed() ? m.seed() : RandomSeed();
  return params;
}

absl::StatusOr<StopParams> ParseStop(const v1::StopParams& m, const Serving& serving) {
  const Limits& limits = serving.limits;
  StopParams params;
  if (m.has_max_tokens()) {
    if (m.max_tokens() < 1 || m.max_tokens() > limits.max_tokens_max) {
      return FieldError("stop.max_tokens", absl::StrCat(m.max_tokens(), ", range 1 to ", limits.max_tokens_max));
    }
    params.max_tokens = static_cast<int32_t>(m.max_tokens());
  }
  if (m.min_tokens() > static_cast<uint32_t>(params.max_tokens)) {
    return FieldError("stop.min_tokens",
                      absl::StrCat(m.min_tokens(), ", range 0 to max_tokens, which is ", params.max_tokens));
  }
  params.min_tokens = static_cast<int32_t>(m.min_tokens());
  params.ignore_eos = m.ignore_eos();

  if (m.stop_token_ids_size() > limits.stop_token_ids_max) {
    return FieldError("stop.stop_token_ids",
                      absl::StrCat(m.stop_token_ids_size(), " entries, limit ", limits.stop_token_ids_max));
  }
  const absl::Span<const uint32_t> ids(m.stop_token_ids().data(), m.stop_token_ids_size());
  if (absl::Status s = CheckIds(ids, "stop.stop_token_ids", serving); !s.ok()) return s;
  params.stop_token_ids.assign(ids.begin(), ids.end());

  if (m.stop_strings_size() == 0) return params;
  if (m.stop_strings_size() > limits.stop_strings_max) {
    return FieldError("stop.stop_strings",
                      absl::StrCat(m.stop_strings_size(), " entries, limit ", limits.stop_strings_max));
  }
  if (serving.tokenizer == nullptr) {
    return MakeError({.reason = ErrorReason::kNoTokenizer, .field = "stop.stop_strings"},
                     "stop.stop_strings: this checkpoint has no tokenizer.json; use stop_token_ids");
  }
  std::vector<std::string> strings;
  for (int i = 0; i < m.stop_strings_size(); ++i) {
    const std::string& text = m.stop_strings(i);
    const std::string field = absl::StrCat("stop.stop_strings[", i, "]");
    if (text.empty() || static_cast<int64_t>(text.size()) > limits.stop_string_bytes_max) {
      return FieldError(field, absl::StrCat(text.size(), " bytes, range 1 to ", limits.stop_string_bytes_max));
    }
    if (const size_t bad = FirstInvalidUtf8(text); bad < text.size()) {
      return FieldError(field, absl::StrCat("not UTF-8 at byte ", bad));
    }
    strings.push_back(text);
  }
  absl::StatusOr<StopStrings> stop_strings = StopStrings::Create(strings);
  if (!stop_strings.ok()) return FieldError("stop.stop_strings", stop_strings.status().message());
  params.stop_strings = std::make_shared<const StopStrings>(*std::move(stop_strings));
  return params;
}

}  // namespace barista

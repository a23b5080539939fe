#include "server/config.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "server/knobs.h"
#include "server/model/strict_json.h"
#include "server/words/nearest_word.h"

namespace barista {
namespace {

const Knob* FindKnob(absl::string_view name) {
  for (const Knob& knob : Knobs()) {
    if (name == knob.name) return &knob;
  }
  return nullptr;
}

// dashes: "--" for a flag, nothing for a key of the file.
std::string Unknown(absl::string_view dashes, absl::string_view name) {
  std::vector<std::string> names;
  for (const Knob& knob : Knobs()) names.push_back(absl::StrCat(dashes, knob.name));
  const std::vector<absl::string_view> views(names.begin(), names.end());
  return absl::StrCat("unknown", DidYouMean(absl::StrCat(dashes, name), views));
}

std::string RangeOf(const Knob& knob) {
  if (const auto* text = std::get_if<TextKnob>(&knob.kind)) {
    return text->choices.empty() ? "text" : absl::StrJoin(text->choices, ", ");
  }
  if (const auto* i = std::get_if<IntKnob>(&knob.kind)) return absl::StrCat("an integer, ", i->min, " to ", i->max);
  if (const auto* r = std::get_if<RealKnob>(&knob.kind)) return absl::StrCat("a number, ", r->min, " to ", r->max);
  return "true or false";
}

std::string DefaultOf(const Knob& knob) {
  ServerConfig c;
  if (const auto* text = std::get_if<TextKnob>(&knob.kind)) return c.*(text->field);
  if (const auto* i = std::get_if<IntKnob>(&knob.kind)) return absl::StrCat(*i->field(c));
  if (const auto* r = std::get_if<RealKnob>(&knob.kind)) return absl::StrCat(*r->field(c));
  return c.*(std::get<BoolKnob>(knob.kind).field) ? "true" : "false";
}

// Sets the knob from text; `where` ("--threads", "file.json: threads") starts the message.
absl::Status Set(const Knob& knob, const std::string& value, const std::string& where, ServerConfig& config) {
  const auto refuse = [&] {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", Quoted(value), " is not ", RangeOf(knob)));
  };
  if (const auto* text = std::get_if<TextKnob>(&knob.kind)) {
    if (!text->choices.empty() && std::find(text->choices.begin(), text->choices.end(), value) == text->choices.end()) {
      return refuse();
    }
    config.*(text->field) = value;
  } else if (const auto* i = std::get_if<IntKnob>(&knob.kind)) {
    int64_t x;
    if (!absl::SimpleAtoi(value, &x) || x < i->min || x > i->max) return refuse();
    *i->field(config) = x;
  } else if (const auto* r = std::get_if<RealKnob>(&knob.kind)) {
    double x;
    if (!absl::SimpleAtod(value, &x) || !(x >= r->min && x <= r->max)) return refuse();
    *r->field(config) = x;
  } else {
    if (value != "true" && value != "false") return refuse();
    config.*(std::get<BoolKnob>(knob.kind).field) = value == "true";
  }
  return absl::OkStatus();
}

// HOST:PORT with a port of 0 to 65535.
absl::Status CheckAddress(absl::string_view name, const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon != std::string::npos && colon > 0 && absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 0 &&
      port <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, ": ", Quoted(address), " is not HOST:PORT with a port of 0 to 65535"));
}

// Whether nobody but this machine reaches HOST:PORT.
bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  uint32_t first = 0;
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  if (parts.size() == 4 && absl::SimpleAtoi(parts[0], &first)) {
    return first == 127 && std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
             uint32_t byte = 0;
             return absl::SimpleAtoi(part, &byte) && byte <= 255;
           });
  }
  return host == "localhost" || host == "[::1]" || host == "::1";
}

// What flags and file ask for together.
absl::Status CheckTogether(const ServerConfig& c) {
  const auto both = [](absl::string_view a, const std::string& in_a, absl::string_view b, const std::string& in_b) {
    if (in_a.empty() == in_b.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--", in_a.empty() ? a : b, ": missing; --", in_a.empty() ? b : a, " needs it"));
  };
  if (c.model.empty()) return absl::InvalidArgumentError("--model: required, a checkpoint directory");
  if (absl::Status s = CheckAddress("listen", c.listen); !s.ok()) return s;
  for (const auto& [name, address] :
       {std::pair("metrics_listen", c.metrics_listen), {"health_listen", c.health_listen}}) {
    if (absl::Status s = CheckAddress(name, address); !address.empty() && !s.ok()) return s;
  }
  constexpr int64_t kStepTokensMin = 128;
  if (c.step_tokens_max != 0 && c.step_tokens_max < kStepTokensMin) {
    return absl::InvalidArgumentError(
        absl::StrCat("--step_tokens_max: ", c.step_tokens_max, " is neither 0 nor at least ", kStepTokensMin));
  }
  if (absl::Status s = both("tls_cert_file", c.tls_cert_file, "tls_key_file", c.tls_key_file); !s.ok()) return s;
  if (absl::Status s = both("peer_cert_file", c.peer_cert_file, "peer_key_file", c.peer_key_file); !s.ok()) return s;
  if (!c.tls_client_ca_file.empty() && c.tls_cert_file.empty()) {
    return absl::InvalidArgumentError("--tls_client_ca_file: needs --tls_cert_file and --tls_key_file");
  }
  if (!c.peer_cert_file.empty() && c.peer_ca_file.empty()) {
    return absl::InvalidArgumentError("--peer_cert_file: needs --peer_ca_file");
  }
  if (!c.tenant_header.empty() && !c.access_file.empty()) {
    return absl::InvalidArgumentError(
        "--tenant_header: not with --access_file, where the key alone says whose a call is");
  }
  if (!IsLoopback(c.listen) && (c.tls_cert_file.empty() || c.access_file.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen: ", Quoted(c.listen), " is reached from other machines, so it needs --tls_cert_file, --tls_key_file ",
        "and --access_file"));
  }
  return absl::OkStatus();
}

absl::Status ReadFile(const std::string& path, ServerConfig& config) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat("--config: cannot read ", path));
  std::ostringstream text;
  text << in.rdbuf();
  const absl::StatusOr<nlohmann::json> json = ParseStrictJson(text.str(), path);
  if (!json.ok()) return json.status();
  if (!json->is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON object"));
  for (const auto& [key, value] : json->items()) {
    const std::string where = absl::StrCat(path, ": ", Quoted(key));
    const Knob* knob = FindKnob(key);
    if (knob == nullptr) return absl::InvalidArgumentError(absl::StrCat(where, ": ", Unknown("", key)));
    if (knob->flag_only) return absl::InvalidArgumentError(absl::StrCat(where, ": a flag only, not a key of the file"));
    const bool text_knob = std::holds_alternative<TextKnob>(knob->kind);
    if (value.is_string() != text_knob) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", Shown(value), " is not ", RangeOf(*knob)));
    }
    if (absl::Status s = Set(*knob, text_knob ? value.get<std::string>() : value.dump(), where, config); !s.ok())
      return s;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServerConfig> ParseServerConfig(const std::vector<std::string>& args) {
  ServerConfig config;
  for (const std::string& arg : args) {
    if (!absl::StartsWith(arg, "--config=")) continue;
    const absl::Status s = ReadFile(arg.substr(9), config);
    if (!s.ok()) return absl::FailedPreconditionError(s.message());
  }
  for (const std::string& arg : args) {
    if (absl::StartsWith(arg, "--config=")) continue;
    if (!absl::StartsWith(arg, "--")) {
      return absl::InvalidArgumentError(absl::StrCat(Quoted(arg), ": arguments are flags, --name=value; see --help"));
    }
    const size_t equals = arg.find('=');
    const std::string name = arg.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Knob* knob = FindKnob(name);
    if (knob == nullptr) return absl::InvalidArgumentError(absl::StrCat("--", name, ": ", Unknown("--", name)));
    const bool is_bool = std::holds_alternative<BoolKnob>(knob->kind);
    if (equals == std::string::npos && !is_bool) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": needs a value: --", name, "=…, ", RangeOf(*knob)));
    }
    const std::string value = equals == std::string::npos ? "true" : arg.substr(equals + 1);
    if (absl::Status s = Set(*knob, value, absl::StrCat("--", name), config); !s.ok()) return s;
  }
  if (absl::Status s = CheckTogether(config); !s.ok()) return s;
  return config;
}

std::string ConfigHelp() {
  std::string help =
      "barista-server --model=DIR [--name=value …]\n\n  --config=FILE\n      a JSON object of the names below\n";
  for (const Knob& knob : Knobs()) {
    absl::StrAppend(&help, "  --", knob.name, "\n      ", knob.help, "\n      ", RangeOf(knob));
    const std::string value = DefaultOf(knob);
    absl::StrAppend(&help, value.empty() ? "" : absl::StrCat("; default ", value), "\n");
  }
  return help;
}

}  // namespace barista

#include "server/rpc/trace_context.h"

#include <algorithm>

namespace barista {
namespace {

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(absl::string_view text) { return text.find_first_not_of('0') == absl::string_view::npos; }

}  // namespace

std::string TraceIdOf(absl::string_view traceparent) {
  constexpr size_t kLength = 55;  // of version 00; later ones may add "-…"
  if (traceparent.size() < kLength) return "";
  const absl::string_view version = traceparent.substr(0, 2), trace = traceparent.substr(3, 32);
  const absl::string_view parent = traceparent.substr(36, 16), flags = traceparent.substr(53, 2);
  const bool dashes = traceparent[2] == '-' && traceparent[35] == '-' && traceparent[52] == '-';
  const bool ends = traceparent.size() == kLength || (version != "00" && traceparent[kLength] == '-');
  if (!dashes || !ends || version == "ff") return "";
  if (!IsHex(version) || !IsHex(trace) || !IsHex(parent) || !IsHex(flags) || IsZero(trace) || IsZero(parent)) return "";
  return std::string(trace);
}

}  // namespace barista

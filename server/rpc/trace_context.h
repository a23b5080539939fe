// W3C Trace Context (level 1): which trace a call belongs to, as the caller or the proxy in front says in the metadata
// key `traceparent`.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace barista {

// The trace id, 32 lower-case hexadecimal digits, of "VERSION-TRACE_ID-PARENT_ID-FLAGS"; empty where `traceparent` is
// not valid.
std::string TraceIdOf(absl::string_view traceparent);

}  // namespace barista

// For error messages: the known word that a mistyped one probably meant.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace barista {

// The candidate with the fewest edits from `word`; empty where none is near (more than 2 + a quarter of its length) or
// `word` is longer than 64 bytes.
std::string NearestWord(absl::string_view word, absl::Span<const absl::string_view> candidates);

// `; did you mean "X"?` or nothing.
std::string DidYouMean(absl::string_view word, absl::Span<const absl::string_view> candidates);

}  // namespace barista

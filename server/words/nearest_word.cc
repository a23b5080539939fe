#include "server/words/nearest_word.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

// Levenshtein distance.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string NearestWord(absl::string_view word, absl::Span<const absl::string_view> candidates) {
  if (word.size() > 64) return "";
  absl::string_view best;
  size_t best_distance = std::string::npos;
  for (absl::string_view candidate : candidates) {
    // A prefix counts as near, so that max finds max_tokens.
    const size_t distance = word.size() >= 3 && absl::StartsWith(candidate, word) ? 1 : EditDistance(word, candidate);
    if (distance <= 2 + candidate.size() / 4 && distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return std::string(best);
}

std::string DidYouMean(absl::string_view word, absl::Span<const absl::string_view> candidates) {
  const std::string near = NearestWord(word, candidates);
  return near.empty() ? "" : absl::StrCat("; did you mean \"", near, "\"?");
}

}  // namespace barista

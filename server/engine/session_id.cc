#include "server/engine/session_id.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {

absl::Status CheckSessionId(absl::string_view id, absl::string_view field) {
  constexpr size_t kIdBytesMax = 64;
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (id.empty()) return FieldError(field, "empty; 1 to 64 characters are wanted");
  if (id.size() > kIdBytesMax) {
    return FieldError(field, absl::StrCat(id.size(), " bytes, limit ", kIdBytesMax));
  }
  if (std::all_of(id.begin(), id.end(), allowed)) return absl::OkStatus();
  return FieldError(field, absl::StrCat("\"", absl::CHexEscape(id), "\" has other characters than a-z A-Z 0-9 - _ ."));
}

}  // namespace barista

#include "clients/cli/ago.h"

#include <algorithm>
#include <cstdint>
#include <ctime>

#include "absl/strings/str_cat.h"

namespace barista::cli {

std::string Ago(const google::protobuf::Timestamp& time) {
  constexpr int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  const int64_t seconds = std::max<int64_t>(static_cast<int64_t>(std::time(nullptr)) - time.seconds(), 0);
  if (seconds < kMinute) return absl::StrCat(seconds, " s ago");
  if (seconds < kHour) return absl::StrCat(seconds / kMinute, " min ago");
  if (seconds < kDay) return absl::StrCat(seconds / kHour, " h ago");
  return absl::StrCat(seconds / kDay, " d ago");
}

}  // namespace barista::cli

// Pages of lists: sizes, tokens (an id), and times, of both kinds of list.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/time_util.h"
#include "server/engine/error.h"
#include "server/engine/session_bytes.h"
#include "server/rpc/session_name.h"

namespace barista {

inline constexpr uint32_t kPageSizeMax = 1000;
inline constexpr uint32_t kPageSizeDefault = 100;

template <class ListRequest>
absl::Status CheckPage(const ListRequest& request) {
  if (request.has_page_size() && (request.page_size() < 1 || request.page_size() > kPageSizeMax)) {
    return FieldError("page_size", absl::StrCat(request.page_size(), ", range 1 to ", kPageSizeMax));
  }
  return request.page_token().empty() ? absl::OkStatus() : CheckSessionId(request.page_token(), "page_token");
}

template <class ListRequest>
int64_t PageSize(const ListRequest& request) {
  return request.has_page_size() ? request.page_size() : kPageSizeDefault;
}

inline void FillTime(WallTime time, google::protobuf::Timestamp& to) {
  const auto since = time.time_since_epoch();
  to = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

}  // namespace barista

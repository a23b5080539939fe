// What may name a session, a snapshot or a tenant.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace barista {

// 1 to 64 of a-z A-Z 0-9 - _ . ; errors: kInvalidField naming `field`.
absl::Status CheckSessionId(absl::string_view id, absl::string_view field);

}  // namespace barista

// Who may call which method: the one table, for every method of every service that the server has. What is not in it
// may not be called. access_table_check, which each build runs, holds the table against the services.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace barista {

enum class AccessRule : uint8_t { kAnybody, kAnyKey, kAdminKey };

struct AccessTableRow {
  absl::string_view method;  // "package.Service/Method"
  AccessRule rule;
};

absl::Span<const AccessTableRow> AccessTable();

// nullopt: there is no such method, and nobody may call it.
std::optional<AccessRule> RuleOf(absl::string_view method);

}  // namespace barista

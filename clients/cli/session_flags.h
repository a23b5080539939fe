// The flags of `session`: one set for all its actions, each of which takes some of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "clients/cli/flags.h"

namespace barista::cli {

// What was given. What was not is not sent.
struct SessionFlags {
  std::optional<bool> repeat_parent;
  std::optional<bool> replace;
  std::map<std::string, std::string> tags;
  std::optional<uint64_t> tokens;
  std::optional<std::string> mark;
  std::optional<uint32_t> turns;
  std::optional<std::string> request_id;
  std::vector<std::string> given;  // names of the flags, in the order given

  // Declares them. This outlives `flags`.
  void Add(FlagSet& flags);

  // InvalidArgument where one was given that is not among `allowed`, names with spaces between, of `action`.
  absl::Status Check(absl::string_view action, absl::string_view allowed) const;
};

}  // namespace barista::cli

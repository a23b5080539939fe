#include "clients/cli/session_flags.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace barista::cli {

void SessionFlags::Add(FlagSet& flags) {
  flags.Section("Flags of single actions");
  flags.Switch("repeat_parent", "fork: the copies draw the same tokens as the source; else each draws its own.",
               [this](bool on) {
                 repeat_parent = on;
                 given.emplace_back("repeat_parent");
               });
  flags.Value("tag", "KEY=VALUE", "snapshot: something to remember of it; may be given several times.",
              [this](absl::string_view value) {
                const std::pair<std::string, std::string> parts = absl::StrSplit(value, absl::MaxSplits('=', 1));
                if (!absl::StrContains(value, '=') || parts.first.empty()) {
                  return absl::InvalidArgumentError(absl::StrCat("'", value, "' is not KEY=VALUE"));
                }
                if (!tags.insert(parts).second) {
                  return absl::InvalidArgumentError(absl::StrCat("'", parts.first, "' is given twice"));
                }
                given.emplace_back("tag");
                return absl::OkStatus();
              });
  flags.Switch("replace", "snapshot, restore: in the place of one that has the name already.", [this](bool on) {
    replace = on;
    given.emplace_back("replace");
  });
  flags.Whole<uint64_t>("tokens", "rewind: this many tokens back.", [this](uint64_t n) {
    tokens = n;
    given.emplace_back("tokens");
  });
  flags.Value("mark", "NAME", "rewind: to this mark.", [this](absl::string_view name) {
    mark = std::string(name);
    given.emplace_back("mark");
    return absl::OkStatus();
  });
  flags.Whole<uint32_t>("turns", "rewind: to before the last N calls.", [this](uint32_t n) {
    turns = n;
    given.emplace_back("turns");
  });
  flags.Value("request_id", "ID",
              "All that change something, but import: makes it safe to repeat. The same command with the same id gets "
              "the first one's answer and changes nothing.",
              [this](absl::string_view id) {
                request_id = std::string(id);
                given.emplace_back("request_id");
                return absl::OkStatus();
              });
}

absl::Status SessionFlags::Check(absl::string_view action, absl::string_view allowed) const {
  const std::vector<absl::string_view> names = absl::StrSplit(allowed, ' ');
  for (const std::string& name : given) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " is no flag of session ", action, " (see: barista session --help)"));
    }
  }
  return absl::OkStatus();
}

}  // namespace barista::cli

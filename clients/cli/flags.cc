#include "clients/cli/flags.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "server/words/nearest_word.h"

namespace barista::cli {
namespace {

constexpr size_t kHelpColumn = 30;
constexpr size_t kHelpWidth = 86;

// Words of `text` on lines of at most kHelpWidth, each line after the first indented to kHelpColumn.
std::string Wrapped(absl::string_view text) {
  std::string result;
  size_t column = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column > 0 && column + 1 + word.size() > kHelpWidth) {
      absl::StrAppend(&result, "\n", std::string(kHelpColumn, ' '));
      column = 0;
    } else if (column > 0) {
      absl::StrAppend(&result, " ");
      ++column;
    }
    absl::StrAppend(&result, word);
    column += word.size();
  }
  return result;
}

}  // namespace

absl::StatusOr<double> ParseNumber(absl::string_view text) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a number"));
  return value;
}

std::string Nearest(absl::string_view word, std::span<const std::string> candidates) {
  return NearestWord(word, std::vector<absl::string_view>(candidates.begin(), candidates.end()));
}

void FlagSet::Section(absl::string_view title) {
  flags_.push_back(Flag{std::string(title), "", "", nullptr, /*is_section=*/true});
}

void FlagSet::Value(absl::string_view name, absl::string_view kind, absl::string_view help, Setter set) {
  flags_.push_back(Flag{std::string(name), std::string(kind), std::string(help), std::move(set)});
}

void FlagSet::Switch(absl::string_view name, absl::string_view help, std::function<void(bool)> set) {
  Value(name, "", help, [set = std::move(set)](absl::string_view text) {
    bool value = false;
    if (!absl::SimpleAtob(text, &value)) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither true nor false"));
    }
    set(value);
    return absl::OkStatus();
  });
}

void FlagSet::Number(absl::string_view name, absl::string_view help, std::function<void(double)> set) {
  Value(name, "X", help, [set = std::move(set)](absl::string_view text) {
    absl::StatusOr<double> value = ParseNumber(text);
    if (value.ok()) set(*value);
    return value.status();
  });
}

absl::StatusOr<std::vector<std::string>> FlagSet::Parse(std::span<const std::string> args, bool stop_at_argument) {
  std::vector<std::string> arguments;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string arg = args[i] == "-h" ? "--help" : args[i];
    if (arg == "--") {
      arguments.insert(arguments.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      if (stop_at_argument) return std::vector<std::string>(args.begin() + i, args.end());
      arguments.push_back(arg);
      continue;
    }
    if (!absl::StartsWith(arg, "--")) return absl::InvalidArgumentError(absl::StrCat("unknown flag ", arg));
    const std::pair<std::string, std::string> parts = absl::StrSplit(arg.substr(2), absl::MaxSplits('=', 1));
    const Flag* flag = Find(parts.first);
    if (flag == nullptr) return UnknownFlag(parts.first);
    std::string value = parts.second;
    if (!absl::StrContains(arg, '=')) {
      if (flag->kind.empty()) {
        value = "true";
      } else if (i + 1 < args.size()) {
        value = args[++i];
      } else {
        return absl::InvalidArgumentError(
            absl::StrCat("--", flag->name, " needs a value: --", flag->name, "=", flag->kind));
      }
    }
    const absl::Status set = Set(flag->name, value);
    if (!set.ok()) return set;
  }
  return arguments;
}

absl::Status FlagSet::Set(absl::string_view name, absl::string_view value) {
  const Flag* flag = Find(name);
  if (flag == nullptr) return UnknownFlag(name);
  const absl::Status set = flag->set(value);
  if (set.ok()) return set;
  return absl::InvalidArgumentError(absl::StrCat("--", flag->name, ": ", set.message()));
}

std::vector<std::string> FlagSet::Names() const {
  std::vector<std::string> names;
  for (const Flag& flag : flags_) {
    if (!flag.is_section) names.push_back(flag.name);
  }
  return names;
}

std::string FlagSet::Help() const {
  std::string help;
  for (const Flag& flag : flags_) {
    if (flag.is_section) {
      absl::StrAppend(&help, help.empty() ? "" : "\n", flag.name, ":\n");
      continue;
    }
    const std::string spelled =
        flag.kind.empty() ? absl::StrCat("  --", flag.name) : absl::StrCat("  --", flag.name, "=", flag.kind);
    absl::StrAppend(&help, absl::StrFormat("%-*s", static_cast<int>(kHelpColumn), spelled),
                    spelled.size() >= kHelpColumn ? " " : "", Wrapped(flag.help), "\n");
  }
  return help;
}

const FlagSet::Flag* FlagSet::Find(absl::string_view name) const {
  const auto found = std::find_if(flags_.begin(), flags_.end(),
                                  [&](const Flag& flag) { return !flag.is_section && flag.name == name; });
  return found == flags_.end() ? nullptr : &*found;
}

absl::Status FlagSet::UnknownFlag(absl::string_view name) const {
  const std::string nearest = Nearest(name, Names());
  return absl::NotFoundError(
      absl::StrCat("unknown flag --", name, nearest.empty() ? "" : absl::StrCat("; did you mean --", nearest, "?")));
}

}  // namespace barista::cli

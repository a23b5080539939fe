// The flags of one command: declared with their help, then parsed. A flag writes straight into the value it stands for
// (a request's field, an option), so there is no second list of names to keep in step.
//
// Accepted: --name=value, --name value, --switch, --switch=true|false, and `--` before arguments that start with `-`.
// A flag that is not declared is an error that names the nearest one. Not thread-safe.
#pragma once

#include <charconv>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace barista::cli {

// The integer that `text` spells in full, or what is wrong with it.
template <typename Integer>
absl::StatusOr<Integer> ParseInteger(absl::string_view text) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return absl::InvalidArgumentError(absl::StrCat(text, " is too large"));
  if (error != std::errc() || end != text.data() + text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a whole number of 0 or more"));
  }
  return value;
}

// The number that `text` spells in full; nan and inf are numbers here, for the server to refuse.
absl::StatusOr<double> ParseNumber(absl::string_view text);

class FlagSet {
 public:
  using Setter = std::function<absl::Status(absl::string_view value)>;

  // Starts a titled group in Help.
  void Section(absl::string_view title);

  // A flag with a value; `kind` stands for the value in Help ("TEXT", "N", "FILE").
  void Value(absl::string_view name, absl::string_view kind, absl::string_view help, Setter set);

  // A flag that is on or off.
  void Switch(absl::string_view name, absl::string_view help, std::function<void(bool)> set);

  template <typename Integer>
  void Whole(absl::string_view name, absl::string_view help, std::function<void(Integer)> set);
  void Number(absl::string_view name, absl::string_view help, std::function<void(double)> set);

  // Sets flags in the order given, and returns the arguments that are none. Stops at the first error. With
  // `stop_at_argument`, everything from the first argument that is no flag on is returned as it stands.
  absl::StatusOr<std::vector<std::string>> Parse(std::span<const std::string> args, bool stop_at_argument = false);

  // Sets one flag by name. InvalidArgument names the flag, the value and the rule; NotFound the nearest flag.
  absl::Status Set(absl::string_view name, absl::string_view value);

  // Of every flag, in the order declared.
  std::vector<std::string> Names() const;

  // One line a flag, in the order declared.
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string kind;  // empty: a switch
    std::string help;
    Setter set;
    bool is_section = false;
  };
  const Flag* Find(absl::string_view name) const;
  absl::Status UnknownFlag(absl::string_view name) const;

  std::vector<Flag> flags_;
};

// The candidate with the fewest letters to change, or empty where none is near.
std::string Nearest(absl::string_view word, std::span<const std::string> candidates);

template <typename Integer>
void FlagSet::Whole(absl::string_view name, absl::string_view help, std::function<void(Integer)> set) {
  Value(name, "N", help, [set = std::move(set)](absl::string_view text) {
    absl::StatusOr<Integer> value = ParseInteger<Integer>(text);
    if (value.ok()) set(*value);
    return value.status();
  });
}

}  // namespace barista::cli

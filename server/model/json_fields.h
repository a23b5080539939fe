// Typed, range-checked reading of a flat JSON object such as config.json.
//
// Getters never fail on their own: the first thing wrong is kept in status() and getters return their fallback from
// then on, so a reader lists its fields one a line and checks once. `null` counts as absent. Not thread-safe; `object`
// and `origin` must outlive it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace barista {

struct IntRange {
  int64_t min, max;
};
struct RealRange {
  double min, max;
};

class JsonFields {
 public:
  // Fails where `object` is no JSON object.
  JsonFields(const nlohmann::json& object, absl::string_view origin);

  // Fails on a key that is in neither list and does not start with '_', naming it and the nearest key of `known`.
  void RefuseUnknown(absl::Span<const absl::string_view> known, absl::Span<const absl::string_view> ignored);

  // A required integer or real number, and the same with a fallback. Integers must be written as such: 64.0 is refused.
  int64_t Int(absl::string_view key, IntRange range);
  int64_t IntOr(absl::string_view key, IntRange range, int64_t fallback);
  double Real(absl::string_view key, RealRange range);
  double RealOr(absl::string_view key, RealRange range, double fallback);
  std::optional<double> OptionalReal(absl::string_view key, RealRange range);

  // A required string; `expected` tells a reader of the message what it should be.
  std::string Text(absl::string_view key, absl::string_view expected);
  // A required list of at most `max_size` entries. Null after a failure.
  const nlohmann::json* List(absl::string_view key, size_t max_size);
  std::optional<bool> OptionalBool(absl::string_view key);
  std::optional<int32_t> OptionalId(absl::string_view key, int64_t vocab_size);
  // An id or a list of at most 1,024 ids.
  std::optional<std::vector<int32_t>> OptionalIds(absl::string_view key, int64_t vocab_size);

  // One of `values`, written as Name(value); required unless there is a fallback.
  template <class E>
  E Word(absl::string_view key, std::initializer_list<E> values, std::optional<E> fallback = std::nullopt);
  // A required list of such words, at most `max_size`.
  template <class E>
  std::vector<E> Words(absl::string_view key, std::initializer_list<E> values, size_t max_size);

  bool Has(absl::string_view key) const { return Find(key) != nullptr; }
  // Records InvalidArgument "origin: message" unless something failed before.
  void Fail(absl::string_view message);
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(absl::string_view key) const;  // null where absent or JSON null
  const nlohmann::json* Require(absl::string_view key, absl::string_view expected);
  int64_t CheckInt(absl::string_view name, const nlohmann::json& value, IntRange range);
  double CheckReal(absl::string_view name, const nlohmann::json& value, RealRange range);
  // Index into `names`, or 0 after a failure.
  size_t CheckWord(absl::string_view name, const nlohmann::json& value, absl::Span<const absl::string_view> names);

  const nlohmann::json& object_;
  absl::string_view origin_;
  absl::Status status_;
};

template <class E>
E JsonFields::Word(absl::string_view key, std::initializer_list<E> values, std::optional<E> fallback) {
  std::vector<absl::string_view> names;
  for (E value : values) names.push_back(Name(value));
  const nlohmann::json* value = fallback ? Find(key) : Require(key, "a word");
  if (value == nullptr) return fallback.value_or(*values.begin());
  return values.begin()[CheckWord(key, *value, names)];
}

template <class E>
std::vector<E> JsonFields::Words(absl::string_view key, std::initializer_list<E> values, size_t max_size) {
  std::vector<absl::string_view> names;
  for (E value : values) names.push_back(Name(value));
  std::vector<E> result;
  const nlohmann::json* list = List(key, max_size);
  if (list == nullptr) return result;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string name = std::string(key) + "[" + std::to_string(i) + "]";
    result.push_back(values.begin()[CheckWord(name, (*list)[i], names)]);
  }
  return result;
}

}  // namespace barista

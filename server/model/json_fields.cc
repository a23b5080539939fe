#include "server/model/json_fields.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/model/strict_json.h"
#include "server/words/nearest_word.h"

namespace barista {
namespace {

using nlohmann::json;

constexpr size_t kMaxIds = 1024;

std::string RangeWords(IntRange range) { return absl::StrCat(range.min, " .. ", range.max); }
std::string RangeWords(RealRange range) { return absl::StrCat(range.min, " .. ", range.max); }

}  // namespace

JsonFields::JsonFields(const json& object, absl::string_view origin) : object_(object), origin_(origin) {
  if (!object.is_object()) Fail(absl::StrCat("must hold a JSON object, not ", Shown(object)));
}

void JsonFields::Fail(absl::string_view message) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(origin_, ": ", message));
}

void JsonFields::RefuseUnknown(absl::Span<const absl::string_view> known, absl::Span<const absl::string_view> ignored) {
  if (!object_.is_object()) return;
  for (const auto& [key, value] : object_.items()) {
    if (absl::c_linear_search(known, key) || absl::c_linear_search(ignored, key) || absl::StartsWith(key, "_"))
      continue;
    std::string message = absl::StrCat("unknown key ", Quoted(key));
    absl::StrAppend(&message, DidYouMean(key, known));
    Fail(message);
  }
}

const json* JsonFields::Find(absl::string_view key) const {
  if (!object_.is_object()) return nullptr;
  const auto it = object_.find(std::string(key));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

const json* JsonFields::Require(absl::string_view key, absl::string_view expected) {
  const json* value = Find(key);
  if (value == nullptr) Fail(absl::StrCat(key, " is missing (", expected, ")"));
  return value;
}

const json* JsonFields::List(absl::string_view key, size_t max_size) {
  const json* list = Require(key, "a list");
  if (list == nullptr || (list->is_array() && list->size() <= max_size)) return list;
  Fail(absl::StrCat(key, " is ", Shown(*list), "; must be a list of at most ", max_size, " entries"));
  return nullptr;
}

std::string JsonFields::Text(absl::string_view key, absl::string_view expected) {
  const json* value = Require(key, expected);
  if (value == nullptr) return "";
  if (!value->is_string()) Fail(absl::StrCat(key, " is ", Shown(*value), "; must be ", expected, " in quotes"));
  return value->is_string() ? value->get<std::string>() : "";
}

int64_t JsonFields::CheckInt(absl::string_view name, const json& value, IntRange range) {
  // Unsigned numbers beyond int64_t would wrap in get<int64_t>.
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  if (!value.is_number_integer()) {
    Fail(absl::StrCat(name, " is ", Shown(value), "; must be an integer, ", RangeWords(range)));
  } else if (!fits || value.get<int64_t>() < range.min || value.get<int64_t>() > range.max) {
    Fail(absl::StrCat(name, " is ", Shown(value), "; must be ", RangeWords(range)));
  } else {
    return value.get<int64_t>();
  }
  return range.min;
}

double JsonFields::CheckReal(absl::string_view name, const json& value, RealRange range) {
  if (!value.is_number()) {
    Fail(absl::StrCat(name, " is ", Shown(value), "; must be a number, ", RangeWords(range)));
  } else if (const double real = value.get<double>(); !(real >= range.min && real <= range.max)) {
    Fail(absl::StrCat(name, " is ", Shown(value), "; must be ", RangeWords(range)));
  } else {
    return real;
  }
  return range.min;
}

size_t JsonFields::CheckWord(absl::string_view name, const json& value, absl::Span<const absl::string_view> names) {
  if (value.is_string()) {
    const auto it = std::find(names.begin(), names.end(), value.get_ref<const std::string&>());
    if (it != names.end()) return it - names.begin();
  }
  Fail(absl::StrCat(name, " is ", Shown(value), "; must be one of \"", absl::StrJoin(names, "\", \""), "\""));
  return 0;
}

int64_t JsonFields::Int(absl::string_view key, IntRange range) {
  const json* value = Require(key, absl::StrCat("an integer, ", RangeWords(range)));
  return value == nullptr ? range.min : CheckInt(key, *value, range);
}

int64_t JsonFields::IntOr(absl::string_view key, IntRange range, int64_t fallback) {
  const json* value = Find(key);
  return value == nullptr ? fallback : CheckInt(key, *value, range);
}

double JsonFields::Real(absl::string_view key, RealRange range) {
  const json* value = Require(key, absl::StrCat("a number, ", RangeWords(range)));
  return value == nullptr ? range.min : CheckReal(key, *value, range);
}

double JsonFields::RealOr(absl::string_view key, RealRange range, double fallback) {
  return OptionalReal(key, range).value_or(fallback);
}

std::optional<double> JsonFields::OptionalReal(absl::string_view key, RealRange range) {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  return CheckReal(key, *value, range);
}

std::optional<bool> JsonFields::OptionalBool(absl::string_view key) {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    Fail(absl::StrCat(key, " is ", Shown(*value), "; must be true or false"));
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<int32_t> JsonFields::OptionalId(absl::string_view key, int64_t vocab_size) {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  return static_cast<int32_t>(CheckInt(key, *value, {0, vocab_size - 1}));
}

std::optional<std::vector<int32_t>> JsonFields::OptionalIds(absl::string_view key, int64_t vocab_size) {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) return std::vector<int32_t>{static_cast<int32_t>(CheckInt(key, *value, {0, vocab_size - 1}))};
  std::vector<int32_t> ids;
  if (value->size() > kMaxIds) Fail(absl::StrCat(key, " lists ", value->size(), " ids; the limit is ", kMaxIds));
  for (size_t i = 0; i < value->size() && ok(); ++i) {
    const std::string name = absl::StrCat(key, "[", i, "]");
    ids.push_back(static_cast<int32_t>(CheckInt(name, (*value)[i], {0, vocab_size - 1})));
  }
  return ids;
}

}  // namespace barista

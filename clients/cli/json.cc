#include "clients/cli/json.h"

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace barista::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// One value of a field; `index` of a repeated one, else -1.
Json ValueJson(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& get = *message.GetReflection();
  const bool repeated = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return repeated ? get.GetRepeatedInt32(message, &field, index) : get.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return repeated ? get.GetRepeatedInt64(message, &field, index) : get.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return repeated ? get.GetRepeatedUInt32(message, &field, index) : get.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return repeated ? get.GetRepeatedUInt64(message, &field, index) : get.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return repeated ? get.GetRepeatedDouble(message, &field, index) : get.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return FloatJson(repeated ? get.GetRepeatedFloat(message, &field, index) : get.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return repeated ? get.GetRepeatedBool(message, &field, index) : get.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumName(repeated ? *get.GetRepeatedEnum(message, &field, index) : *get.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return repeated ? get.GetRepeatedString(message, &field, index) : get.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageJson(repeated ? get.GetRepeatedMessage(message, &field, index) : get.GetMessage(message, &field));
  }
  return nullptr;
}

// A map as an object, in the order of its keys.
Json MapJson(const Message& message, const FieldDescriptor& field) {
  const FieldDescriptor& key = *field.message_type()->map_key();
  const FieldDescriptor& value = *field.message_type()->map_value();
  std::map<Json, Json> sorted;
  const int size = message.GetReflection()->FieldSize(message, &field);
  for (int i = 0; i < size; ++i) {
    const Message& entry = message.GetReflection()->GetRepeatedMessage(message, &field, i);
    sorted[ValueJson(entry, key, -1)] = ValueJson(entry, value, -1);
  }
  Json object = Json::object();
  for (const auto& [name, content] : sorted) object[name.is_string() ? name.get<std::string>() : Dump(name)] = content;
  return object;
}

}  // namespace

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json FloatJson(float value) {
  if (!std::isfinite(value)) return nullptr;
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits) - 1, value);
  if (error != std::errc()) return value;
  *end = '\0';
  return std::strtod(digits, nullptr);
}

std::string EnumName(const google::protobuf::EnumValueDescriptor& value) {
  std::string prefix;
  for (const char letter : value.type()->name()) {
    if (std::isupper(static_cast<unsigned char>(letter)) && !prefix.empty()) prefix += '_';
    prefix += letter;
  }
  absl::AsciiStrToUpper(&prefix);
  return absl::AsciiStrToLower(absl::StripPrefix(value.name(), prefix + "_"));
}

Json MessageJson(const Message& message) {
  if (const auto* time = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(&message)) {
    return google::protobuf::util::TimeUtil::ToString(*time);
  }
  Json json = Json::object();
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated() || field->is_map()) {
      json[field->name()] = field->is_map() ? MapJson(message, *field) : ValueJson(message, *field, -1);
      continue;
    }
    Json& array = json[field->name()] = Json::array();
    const int size = message.GetReflection()->FieldSize(message, field);
    for (int i = 0; i < size; ++i) array.push_back(ValueJson(message, *field, i));
  }
  return json;
}

Json UsageJson(const v1::Usage& usage) {
  Json json = {{"prompt_tokens", usage.prompt_tokens()},
               {"generated_tokens", usage.generated_tokens()},
               {"cached_tokens", usage.cached_tokens()}};
  if (usage.has_drafted_tokens()) {
    json["drafted_tokens"] = usage.drafted_tokens();
    json["accepted_tokens"] = usage.accepted_tokens();
  }
  return json;
}

Json TimingsJson(const v1::Timings& timings) {
  return {{"queue_seconds", timings.queue_seconds()},
          {"prefill_seconds", timings.prefill_seconds()},
          {"decode_seconds", timings.decode_seconds()},
          {"time_to_first_token_seconds", timings.time_to_first_token_seconds()},
          {"total_seconds", timings.total_seconds()}};
}

Json AlternativesJson(const v1::TokenLogprob& token) {
  Json alternatives = Json::array();
  for (const v1::Alternative& alternative : token.alternatives()) {
    alternatives.push_back({{"token", alternative.token_id()}, {"logprob", FloatJson(alternative.logprob())}});
  }
  return alternatives;
}

}  // namespace barista::cli

// Messages of the contract as JSON for people and scripts: numbers are numbers (64-bit ones too), enum values are lower
// case without their prefix, times are texts of RFC 3339 ("2026-01-02T03:04:05Z"), maps are objects, fields that are
// not set are left out.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

#include "barista/v1/inference.pb.h"

namespace barista::cli {

using Json = nlohmann::ordered_json;

// On one line; bytes that are no UTF-8 become U+FFFD.
std::string Dump(const Json& json);

// A float as the shortest decimal that reads back as the same float.
Json FloatJson(float value);

// Any message, field by field.
Json MessageJson(const google::protobuf::Message& message);

// All of its numbers, those that are not set as 0; what was drafted only where the server tells it.
Json UsageJson(const v1::Usage& usage);
// All of its numbers, those that are not set as 0.
Json TimingsJson(const v1::Timings& timings);

// [{"token", "logprob"}, …]
Json AlternativesJson(const v1::TokenLogprob& token);

// Lower case, without the prefix: "stop_string".
std::string EnumName(const google::protobuf::EnumValueDescriptor& value);

}  // namespace barista::cli

// Holds a request against its type, so that a field which no flag sets makes a test fail and none is forgotten.
#pragma once

#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace barista::cli {

// Expects every field to be set, one of each oneof, but for those of these names.
inline void ExpectAllFieldsSet(const google::protobuf::Message& message, const std::set<std::string>& except = {}) {
  const google::protobuf::Reflection& get = *message.GetReflection();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = type.field(i);
    const google::protobuf::OneofDescriptor* const choice = field->real_containing_oneof();
    const bool set = choice != nullptr      ? get.HasOneof(message, choice)
                     : field->is_repeated() ? get.FieldSize(message, field) > 0
                                            : get.HasField(message, field);
    EXPECT_TRUE(set || except.count(field->name()) > 0) << field->full_name();
  }
}

}  // namespace barista::cli

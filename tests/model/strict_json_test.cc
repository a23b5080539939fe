#include "server/model/strict_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barista {
namespace {

using testing::HasSubstr;

void ExpectRefused(const std::string& text, const std::string& words) {
  const auto value = ParseStrictJson(text, "some/file.json");
  ASSERT_FALSE(value.ok()) << text.substr(0, 100);
  EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(value.status().message()), HasSubstr("some/file.json"));
  EXPECT_THAT(std::string(value.status().message()), HasSubstr(words));
}

TEST(StrictJson, ValuesOfEveryKindAreKept) {
  const auto value = ParseStrictJson(R"( {"a": [1, -2, 2.5, "x\u00e9", true, null, {"b": []}], "": {}} )", "f");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->dump(-1, ' ', true), R"({"":{},"a":[1,-2,2.5,"x\u00e9",true,null,{"b":[]}]})");
}

TEST(StrictJson, MalformedTextIsRefusedWithItsPlace) {
  ExpectRefused("", "line 1");
  ExpectRefused("{\"a\": 1,\n}", "line 2");
  ExpectRefused("{\"a\": 1} x", "line 1, column 10");
  ExpectRefused("{\"a\": 1", "line 1");
  ExpectRefused("{a: 1}", "line 1");
  ExpectRefused("{\"a\": NaN}", "line 1");
  ExpectRefused("{\"a\": -Infinity}", "line 1");
  ExpectRefused("{\"a\": \"\xff\"}", "UTF-8");
  ExpectRefused(std::string("{\"a\": \"\0\"}", 10), "line 1");
  ExpectRefused("{\"a\": 1e999}", "1e999");
}

TEST(StrictJson, DuplicateKeysAreRefusedByName) {
  ExpectRefused(R"({"a": 1, "b": 2, "a": 1})", "key \"a\" appears twice");
  ExpectRefused(R"({"a": [{"inner": 1, "inner": 2}]})", "key \"inner\" appears twice");
}

TEST(StrictJson, NestingIsLimited) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseStrictJson(nested(kMaxJsonDepth), "f").ok());
  ExpectRefused(nested(kMaxJsonDepth + 1), "nested deeper than 16");
  ExpectRefused(std::string(1'000'000, '['), "nested deeper than 16");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
  ExpectRefused(objects, "nested deeper than 16");
}

TEST(StrictJson, MessagesAreShortAndPrintable) {
  const auto value = ParseStrictJson("{\"" + std::string(100'000, '\x7f') + "\n\": 1}", "f");
  ASSERT_FALSE(value.ok());
  EXPECT_LT(value.status().message().size(), 2000u);
  EXPECT_EQ(Quoted("a\n\xff"), "\"a\\n\\xff\"");
  EXPECT_EQ(Quoted(std::string(1000, 'a')).size(), 205u);
  EXPECT_EQ(Shown(nlohmann::json(std::string(1000, 'a'))).size(), 103u);
}

}  // namespace
}  // namespace barista

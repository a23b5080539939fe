#include "server/access/access_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

using testing::HasSubstr;

std::string Hex(const std::string& key) {
  const KeyDigest digest = DigestOf(key);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

std::string Key(const std::string& key, const std::string& tenant, const std::string& more = "") {
  return absl::StrCat(R"({"sha256": ")", Hex(key), R"(", "tenant": ")", tenant, "\"", more, "}");
}

std::string Refusal(const std::string& text) {
  const absl::StatusOr<AccessPolicy> policy = ParseAccessPolicy(text, "access.json");
  return policy.ok() ? "taken" : std::string(policy.status().message());
}

TEST(AccessPolicyTest, KeysTenantsAndLimits) {
  const auto policy = ParseAccessPolicy(
      absl::StrCat(R"({"keys": [)", Key("a", "acme"), ", ", Key("b", "root", R"(, "admin": true)"), R"(],
      "tenants": {"acme": {"weight": 2.5, "sessions_max": 100, "streams_max": 16, "tokens_per_second": 500,
                           "queued_tokens_max": 65536},
                  "*": {"streams_max": 1}}})"),
      "access.json");
  ASSERT_TRUE(policy.ok()) << policy.status();
  ASSERT_NE(policy->Find(DigestOf("a")), nullptr);
  EXPECT_EQ(policy->Find(DigestOf("a"))->tenant, "acme");
  EXPECT_FALSE(policy->Find(DigestOf("a"))->admin);
  EXPECT_TRUE(policy->Find(DigestOf("b"))->admin);
  EXPECT_EQ(policy->Find(DigestOf("c")), nullptr);
  const TenantLimits& acme = policy->tenants.Of("acme");
  EXPECT_EQ(acme.weight, 2.5);
  EXPECT_EQ(acme.sessions_max, 100);
  EXPECT_EQ(acme.streams_max, 16);
  EXPECT_EQ(acme.tokens_per_second, 500);
  EXPECT_EQ(acme.queued_tokens_max, 65536);
  EXPECT_EQ(policy->tenants.Of("root").streams_max, 1);
  EXPECT_EQ(policy->tenants.Of("root").sessions_max, TenantLimits::kNone);
}

TEST(AccessPolicyTest, ADigestThatDiffersInOneBitIsAnotherKey) {
  const auto policy = ParseAccessPolicy(absl::StrCat(R"({"keys": [)", Key("a", "acme"), "]}"), "access.json");
  ASSERT_TRUE(policy.ok()) << policy.status();
  for (size_t bit = 0; bit < 256; ++bit) {
    KeyDigest digest = DigestOf("a");
    digest[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(policy->Find(digest), nullptr) << bit;
  }
}

TEST(AccessPolicyTest, WhatIsWrongIsNamedByItsPlace) {
  const std::string good = Key("a", "acme");
  const struct {
    std::string text;
    std::vector<std::string> words;
  } rows[] = {
      {"", {"access.json", "JSON"}},
      {"[]", {"object"}},
      {"{}", {"keys is missing"}},
      {R"({"keys": {}})", {"keys", "list"}},
      {R"({"keys": [], "tenant": {}})", {"\"tenant\"", "tenants"}},
      {R"({"keys": [], "keys": []})", {"keys", "twice"}},
      {R"({"keys": [1]})", {"keys[0]", "object"}},
      {R"({"keys": [{"tenant": "a"}]})", {"keys[0]", "sha256 is missing"}},
      {R"({"keys": [{"sha256": "abc", "tenant": "a"}]})", {"keys[0]", "abc", "64"}},
      {absl::StrCat(R"({"keys": [{"sha256": ")", std::string(64, 'g'), R"(", "tenant": "a"}]})"), {"keys[0]", "64"}},
      {absl::StrCat(R"({"keys": [)", Key("a", "a b"), "]}"), {"keys[0]", "tenant", "a b"}},
      {absl::StrCat(R"({"keys": [)", Key("a", ""), "]}"), {"keys[0]", "tenant", "empty"}},
      {absl::StrCat(R"({"keys": [)", Key("a", "b", R"(, "admn": true)"), "]}"), {"keys[0]", "admn", "admin"}},
      {absl::StrCat(R"({"keys": [)", Key("a", "b", R"(, "admin": "yes")"), "]}"), {"keys[0]", "admin", "yes"}},
      {absl::StrCat(R"({"keys": [)", good, ",", Key("b", "b"), ",", good, "]}"), {"keys[2]", "keys[0]"}},
      {R"({"keys": [], "tenants": []})", {"tenants", "object"}},
      {R"({"keys": [], "tenants": {"a": {"weigth": 1}}})", {"tenants", "\"a\"", "weigth", "weight"}},
      {R"({"keys": [], "tenants": {"a": {"weight": 0}}})", {"weight", "0.01"}},
      {R"({"keys": [], "tenants": {"a": {"streams_max": -1}}})", {"streams_max", "-1", "0"}},
      {R"({"keys": [], "tenants": {"a": {"sessions_max": 1.5}}})", {"sessions_max", "1.5", "integer"}},
      {R"({"keys": [], "tenants": {"a": {"tokens_per_second": 0}}})", {"tokens_per_second", "0"}},
      {R"({"keys": [], "tenants": {"a b": {}}})", {"a b", "characters"}},
  };
  for (const auto& [text, words] : rows) {
    for (const std::string& word : words) EXPECT_THAT(Refusal(text), HasSubstr(word)) << text;
  }
}

}  // namespace
}  // namespace barista

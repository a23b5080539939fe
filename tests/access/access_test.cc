#include "server/access/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/access/access_table.h"
#include "server/engine/error.h"

namespace barista {
namespace {

using testing::HasSubstr;
using testing::Not;
using Values = std::vector<absl::string_view>;

AccessPolicy TwoKeys() {
  AccessPolicy policy;
  policy.keys = {{DigestOf("red-key"), "red", false}, {DigestOf("admin-key"), "ops", true}};
  return policy;
}

TEST(AccessTest, TheTenantIsTheKeys) {
  const Access access(TwoKeys());
  EXPECT_EQ(access.CallerOf(Values{"Bearer red-key"})->tenant, "red");
  EXPECT_EQ(access.CallerOf(Values{"bearer red-key"})->tenant, "red");  // schemes have no case (RFC 7235)
  EXPECT_TRUE(access.CallerOf(Values{"Bearer admin-key"})->admin);
}

TEST(AccessTest, WhatIsNoKeyIsRefusedWithoutBeingRepeated) {
  const Access access(TwoKeys());
  const Values all[] = {{},
                        {""},
                        {"red-key"},
                        {"Basic red-key"},
                        {"Bearer"},
                        {"Bearer "},
                        {"Bearer secret-key"},
                        {"Bearer red-key "},
                        {"Bearer  red-key"},
                        {"Bearer RED-KEY"},
                        {"Bearer red-key", "Bearer admin-key"},
                        {"Bearer red-key", "Bearer red-key"}};
  for (const Values& values : all) {
    const absl::Status status = access.CallerOf(values).status();
    EXPECT_EQ(DetailOf(status).reason, ErrorReason::kUnauthenticated) << absl::StrJoin(values, ", ");
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("-key")));
  }
}

TEST(AccessTest, EachMethodHasItsRuleAndTheRestIsDenied) {
  const Access access(TwoKeys());
  for (const AccessTableRow& row : AccessTable()) {
    const std::string method = absl::StrCat("/", row.method);
    const bool anybody = row.rule == AccessRule::kAnybody, admin = row.rule == AccessRule::kAdminKey;
    EXPECT_EQ(access.Check(method, {}).ok(), anybody) << method;
    EXPECT_EQ(access.Check(method, Values{"Bearer nobody"}).ok(), anybody) << method;
    EXPECT_EQ(access.Check(method, Values{"Bearer red-key"}).ok(), !admin) << method;
    EXPECT_TRUE(access.Check(method, Values{"Bearer admin-key"}).ok()) << method;
    EXPECT_EQ(anybody, absl::StrContains(method, "/grpc.health.v1.Health/")) << method;
  }
  for (const char* method : {"", "/", "/barista.v1.SessionService/", "/barista.v1.SessionService/getsession",
                             "/BARISTA.v1.ModelService/GetModel", "//grpc.health.v1.Health/Check",
                             "/grpc.health.v1.Health/Check/../../barista.v1.ModelService/GetModel",
                             "/grpc.health.v1.Health/Check?x", "/grpc.health.v1.Health/Check "}) {
    EXPECT_EQ(access.Check(method, {}).code(), absl::StatusCode::kUnauthenticated) << method;
    EXPECT_EQ(access.Check(method, Values{"Bearer admin-key"}).code(), absl::StatusCode::kUnimplemented) << method;
  }
}

TEST(AccessTest, AReplacedPolicyHoldsAtOnce) {
  Access access(TwoKeys());
  AccessPolicy next;
  next.keys = {{DigestOf("new-key"), "red", false}};
  access.Replace(next);
  EXPECT_FALSE(access.CallerOf(Values{"Bearer red-key"}).ok());
  EXPECT_EQ(access.CallerOf(Values{"Bearer new-key"})->tenant, "red");
}

}  // namespace
}  // namespace barista

// Tenants in the engine: whose turn it is, who pauses, and what counts against limits.
#include <gtest/gtest.h>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class EngineTenantsTest : public EngineTest {
 protected:
  static Request Of(const std::string& tenant, std::vector<int32_t> prompt, int32_t max_tokens) {
    Request request = Generate(std::move(prompt), max_tokens);
    request.tenant = tenant;
    return request;
  }
  void SetTenants(std::map<std::string, TenantLimits> named) {
    TenantPolicy policy;
    policy.named = std::move(named);
    engine_->SetTenants(policy);
  }
  // How many calls of the tenant have drawn something.
  static int Begun(const std::vector<std::shared_ptr<Call>>& calls) {
    int begun = 0;
    for (const auto& call : calls) begun += Drain(*call).tokens.empty() ? 0 : 1;
    return begun;
  }
};

TEST_F(EngineTenantsTest, FreeSlotsGoToTheTenantWithTheFewestByWeight) {
  Start(4);
  SetTenants({{"heavy", {.weight = 2}}});
  std::vector<std::shared_ptr<Call>> greedy, heavy, light;
  for (int i = 0; i < 8; ++i) greedy.push_back(Submit(Of("greedy", {1, 2}, 1000)));
  for (int i = 0; i < 8; ++i) heavy.push_back(Submit(Of("heavy", {1, 2}, 1000)));
  light.push_back(Submit(Of("light", {1, 2}, 1000)));
  Steps(8);
  EXPECT_EQ(Begun(greedy), 1);
  EXPECT_EQ(Begun(heavy), 2);
  EXPECT_EQ(Begun(light), 1);
}

TEST_F(EngineTenantsTest, ATenantAboveItsRatePausesAlone) {
  Start(4);
  SetTenants({{"slow", {.tokens_per_second = 10}}});
  const auto slow = Submit(Of("slow", {1, 2}, 1000));
  const auto fast = Submit(Of("fast", {1, 2}, 1000));
  Steps(50);
  const auto drawn = [](const std::shared_ptr<Call>& call) {
    const Seen seen = Drain(*call);
    return seen.tokens.empty() ? size_t{0} : seen.tokens[0].size();
  };
  EXPECT_EQ(drawn(slow), 8u);  // and two of the prompt: a second's worth
  EXPECT_EQ(drawn(fast), 50u);
  clock_.Advance(std::chrono::milliseconds(500));
  Steps(20);
  EXPECT_EQ(drawn(slow), 5u);
  SetTenants({});
  Steps(20);
  EXPECT_GE(drawn(slow), 19u);
}

TEST_F(EngineTenantsTest, PromptTokensCountUntilTheyAreRead) {
  Start(1);
  SetTenants({{"a", {.queued_tokens_max = 300}}});
  const auto first = Submit(Of("a", std::vector<int32_t>(200, 1), 1000));
  const auto refused = engine_->Submit(Of("a", std::vector<int32_t>(101, 1), 1), [] {});
  EXPECT_EQ(DetailOf(refused.status()).reason, ErrorReason::kTenantLimit);
  Steps(1);  // 128 rows a step
  const auto second = Submit(Of("a", std::vector<int32_t>(200, 1), 1));
  Steps(2);
  EXPECT_TRUE(engine_->Submit(Of("a", std::vector<int32_t>(100, 1), 1), [] {}).ok());
  EXPECT_FALSE(engine_->Submit(Of("a", {1}, 1), [] {}).ok());
  first->Cancel();
  RunToIdle();
  Submit(Of("a", std::vector<int32_t>(300, 1), 1));
  RunToIdle();
}

TEST_F(EngineTenantsTest, SessionsCountWhereverTheyLie) {
  Start(4);
  SetTenants({{"a", {.sessions_max = 2}}});
  absl::StatusOr<Session*> made[4];
  ASSERT_TRUE(engine_
                  ->Post([&](SessionTable& sessions) {
                    made[0] = sessions.Create("a@1");
                    made[1] = sessions.Create("a@2");
                    made[2] = sessions.Create("a@3");
                    made[3] = sessions.Create("b@3");
                  })
                  .ok());
  Steps(1);
  EXPECT_TRUE(made[0].ok() && made[1].ok() && made[3].ok());
  EXPECT_EQ(DetailOf(made[2].status()).field, "tenant:a");
}

}  // namespace
}  // namespace barista

#include "server/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace barista {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kGb = 1'000'000'000;
constexpr SessionBytes kSession = {.slot = 6'000'000, .host = 80'000};

TEST(PlanMemoryTest, WithoutADeviceAllComesOutOfTheHostsMemory) {
  const MemoryWish wish = {.fixed_bytes = kGb, .replay_bytes = kGb, .host_state_bytes = kGb, .checkpoint_bytes = kGb};
  const absl::StatusOr<MemoryPlan> plan = PlanMemory({.host = 10 * kGb}, wish, kSession);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->memory_bytes, 8 * kGb);
  EXPECT_EQ(plan->slots, 4 * kGb / 6'080'000);
  EXPECT_EQ(plan->checkpoint_bytes, kGb);
}

TEST(PlanMemoryTest, OnADeviceSlotsLieBesideTheWeightsAndTheRestOnTheHost) {
  const MemoryWish wish = {.fixed_bytes = kGb, .replay_bytes = kGb, .host_state_bytes = kGb};
  const absl::StatusOr<MemoryPlan> plan = PlanMemory({.host = 10 * kGb, .device = 4 * kGb}, wish, kSession);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->memory_bytes, 38 * kGb / 10);
  EXPECT_EQ(plan->slots, 28 * kGb / 10 / 6'000'000);
  EXPECT_EQ(plan->checkpoint_bytes, 256 << 20);
}

TEST(PlanMemoryTest, ByDefaultThereAreNoMoreSlotsThanAStepCanUse) {
  EXPECT_EQ(PlanMemory({.host = 100 * kGb, .device = 100 * kGb}, {}, kSession)->slots, 1024);
  EXPECT_EQ(PlanMemory({.host = 100 * kGb, .device = 100 * kGb}, {.sessions_max = 5000}, kSession)->slots, 5000);
}

TEST(PlanMemoryTest, TooLittleIsRefusedWithWhatIsNeededAndWhatThereIs) {
  const auto refusal = [](const MemoryRoom& room, const MemoryWish& wish) {
    const absl::Status status = PlanMemory(room, wish, kSession).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    return std::string(status.message());
  };
  EXPECT_THAT(refusal({.host = kGb}, {.memory_bytes = 1000, .fixed_bytes = 77}),
              AllOf(HasSubstr("memory_bytes: 1000 bytes are too few"), HasSubstr("need 77"), HasSubstr("6080000")));
  EXPECT_THAT(refusal({.host = 10 * kGb, .device = kGb}, {.fixed_bytes = kGb}),
              AllOf(HasSubstr("950000000 bytes of the device"), HasSubstr("need 1000000000"), HasSubstr("6000000")));
  EXPECT_THAT(refusal({.host = 10 * kGb, .device = kGb}, {.sessions_max = 200}), HasSubstr("200 sessions 1200000000"));
  EXPECT_THAT(refusal({.host = 10 * kGb, .device = kGb}, {.memory_bytes = 2 * kGb}),
              AllOf(HasSubstr("2000000000"), HasSubstr("1000000000 that are free on the device")));
  EXPECT_THAT(refusal({.host = kGb, .device = 9 * kGb}, {.host_state_bytes = 2 * kGb}), HasSubstr("the host's memory"));
}

}  // namespace
}  // namespace barista

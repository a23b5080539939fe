#include "server/observe/watchdog.h"

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"

namespace barista {
namespace {

using std::chrono::seconds;

const Health::TimePoint kNow = Health::TimePoint() + seconds(1000);

TEST(StepLooksTest, TheSameStepHasToBeSeenManyTimes) {
  StepLooks looks;
  for (int i = 0; i < StepLooks::kLooks; ++i) EXPECT_FALSE(looks.Look(kNow)) << i;
  EXPECT_TRUE(looks.Look(kNow));
}

TEST(StepLooksTest, StepsThatEndAreNeverHung) {
  StepLooks looks;
  for (int i = 0; i < 10 * StepLooks::kLooks; ++i) {
    const bool between = i % StepLooks::kLooks == StepLooks::kLooks - 1;
    EXPECT_FALSE(looks.Look(between ? Health::TimePoint() : kNow)) << i;
  }
  for (int i = 0; i < 10 * StepLooks::kLooks; ++i) EXPECT_FALSE(looks.Look(kNow + seconds(i / 2))) << i;
}

TEST(StepLooksTest, NoStepIsUnderWay) {
  StepLooks looks;
  for (int i = 0; i < 10 * StepLooks::kLooks; ++i) EXPECT_FALSE(looks.Look(Health::TimePoint()));
}

TEST(WatchdogTest, ItCallsOnceWhereAStepHangs) {
  Health health;
  health.AddEngine();  // it has nothing to do
  StepClock& second = health.AddEngine();
  absl::Notification hung;  // notified twice it would end the program
  Watchdog watchdog(health, std::chrono::duration<double>(0.02), [&hung](int engine) {
    EXPECT_EQ(engine, 1);
    hung.Notify();
  });
  EXPECT_FALSE(hung.WaitForNotificationWithTimeout(absl::Milliseconds(100)));
  second.Begins(kNow);
  EXPECT_TRUE(hung.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST(WatchdogTest, ItEndsWithoutWaiting) {
  Health health;
  Watchdog watchdog(health, seconds(3600), [](int) { FAIL(); });
}

}  // namespace
}  // namespace barista

#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "kernels/cpu/cores.h"

namespace barista {
namespace {

TEST(ThreadPoolTest, EveryItemRunsOnceAndItsWritesAreSeen) {
  ThreadPool pool(4);
  for (int64_t n : {0, 1, 2, 3, 7, 100, 1000}) {
    std::vector<int> runs(n);  // plain ints: the end of For is what makes them visible
    for (int loop = 0; loop < 50; ++loop) pool.For(n, [&](int64_t item, int) { ++runs[item]; });
    EXPECT_EQ(runs, std::vector<int>(n, 50));
  }
}

TEST(ThreadPoolTest, WorkerNumbersAreBelowThreads) {
  ThreadPool pool(3);
  EXPECT_EQ(pool.threads(), 3);
  std::atomic<bool> bad{false};
  for (int loop = 0; loop < 200; ++loop) {
    pool.For(50, [&](int64_t, int worker) {
      if (worker < 0 || worker >= 3) bad = true;
    });
  }
  EXPECT_FALSE(bad);
}

TEST(ThreadPoolTest, OneWorkerNumberIsNeverUsedTwiceAtOnce) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> bad{false};
  for (int loop = 0; loop < 100; ++loop) {
    pool.For(100, [&](int64_t, int worker) {
      if (inside[worker].fetch_add(1) != 0) bad = true;
      inside[worker].fetch_sub(1);
    });
  }
  EXPECT_FALSE(bad);
}

TEST(ThreadPoolTest, OneItemOrOneThreadRunsOnTheCaller) {
  const std::thread::id caller = std::this_thread::get_id();
  ThreadPool many(4), one(1);
  many.For(1, [&](int64_t, int worker) { EXPECT_TRUE(worker == 0 && std::this_thread::get_id() == caller); });
  one.For(9, [&](int64_t, int worker) { EXPECT_TRUE(worker == 0 && std::this_thread::get_id() == caller); });
}

TEST(ThreadPoolTest, AnItemMayWaitForAnotherItem) {
  ThreadPool pool(2);  // so both threads must really take part, awake or asleep
  for (int loop = 0; loop < 20; ++loop) {
    std::atomic<int> arrived{0};
    pool.For(2, [&](int64_t, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(arrived, 2);
  }
}

TEST(ThreadPoolTest, SleepingWorkersWakeForWorkAndForTheEnd) {
  for (int loop = 0; loop < 20; ++loop) {
    ThreadPool pool(2);
    // Far longer than workers spin, measured by the work of another pool rather than by a clock.
    ThreadPool other(1);
    std::atomic<int64_t> busy{0};
    other.For(300000, [&](int64_t item, int) { busy += item; });
    std::atomic<int> arrived{0};
    pool.For(2, [&](int64_t, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
  }
}

TEST(CoresTest, AtLeastOneAndNoMoreThanTheMachine) {
  EXPECT_GE(UsableCores(), 1);
  EXPECT_LE(UsableCores(), static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
}

TEST(CoresTest, CpuMaxLineIsWholeCores) {
  EXPECT_EQ(CoresOfCpuMax("200000 100000"), 2);
  EXPECT_EQ(CoresOfCpuMax("350000 100000"), 3);
  EXPECT_EQ(CoresOfCpuMax("50000 100000"), 1);
  EXPECT_EQ(CoresOfCpuMax("max 100000"), 0);
  EXPECT_EQ(CoresOfCpuMax("-1 100000"), 0);
  EXPECT_EQ(CoresOfCpuMax(""), 0);
  EXPECT_EQ(CoresOfCpuMax("7"), 0);
}

}  // namespace
}  // namespace barista

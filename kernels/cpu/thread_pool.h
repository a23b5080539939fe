// Threads that share one loop at a time. The caller works too, and items are claimed one by one, so a thread that the
// system does not run (its core is taken by another process) costs at most the item it holds, never a share of the
// loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace barista {

// Between loops a thread first spins (about 50 us: operations of one step follow each other faster than that), then
// sleeps. For is called by one thread at a time, never from inside an item.
class ThreadPool {
 public:
  // `threads` >= 1 includes the caller: threads - 1 are started.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  using Work = absl::FunctionRef<void(int64_t item, int worker)>;

  // work(item, worker) once for each item of [0, n), in any order, `worker` in [0, threads()), the caller being 0.
  // Returns when all are done; their writes are then visible to the caller. One item or one thread: runs inline.
  void For(int64_t n, Work work);

  int threads() const { return static_cast<int>(threads_.size()) + 1; }

 private:
  void Loop(int worker);
  bool WaitForWork(uint64_t last_loop);
  void RunItems(int worker);
  void WaitForWorkers();

  // The current loop. Written by the caller while no worker is inside, read by workers that have entered.
  const Work* work_ = nullptr;
  int64_t n_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};

  // Number of the loop (upper 32 bits), kOpen while workers may enter it, and how many are inside (lower bits).
  alignas(64) std::atomic<uint64_t> state_{0};
  std::atomic<int> sleeping_workers_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable work_or_stop_;
  std::condition_variable workers_left_;
  std::vector<std::thread> threads_;
};

}  // namespace barista

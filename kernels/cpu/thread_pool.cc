#include "kernels/cpu/thread_pool.h"

#include <immintrin.h>

#include <chrono>

namespace barista {
namespace {

constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr auto kSpin = std::chrono::microseconds(50);

uint64_t LoopOf(uint64_t state) { return state >> 32; }

// True as soon as `done` is; false after kSpin.
template <class Done>
bool SpinUntil(Done done) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  threads_.reserve(threads - 1);
  for (int worker = 1; worker < threads; ++worker) threads_.emplace_back([this, worker] { Loop(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  work_or_stop_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::For(int64_t n, Work work) {
  if (n <= 1 || threads_.empty()) {
    for (int64_t i = 0; i < n; ++i) work(i, 0);
    return;
  }
  work_ = &work;
  n_ = n;
  next_.store(0, std::memory_order_relaxed);
  // Sequentially consistent with sleeping_workers_: either we see a sleeper, or it sees this loop before it sleeps.
  const uint64_t loop = LoopOf(state_.load(std::memory_order_relaxed)) + 1;
  state_.store(loop << 32 | kOpen);
  if (sleeping_workers_.load() > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    work_or_stop_.notify_all();
  }
  RunItems(0);
  state_.fetch_and(~kOpen);
  WaitForWorkers();
}

void ThreadPool::RunItems(int worker) {
  for (;;) {
    const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= n_) return;
    (*work_)(item, worker);
  }
}

// A worker that lost its core in the middle of an item: sleeping frees this core, and the system moves it here.
void ThreadPool::WaitForWorkers() {
  const auto all_left = [this] { return (state_.load() & kInside) == 0; };
  if (SpinUntil(all_left)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  caller_sleeps_ = true;
  workers_left_.wait(lock, all_left);
  caller_sleeps_ = false;
}

void ThreadPool::Loop(int worker) {
  uint64_t last_loop = 0;
  while (WaitForWork(last_loop)) {
    uint64_t state = state_.load();
    last_loop = LoopOf(state);
    // Enter, unless the others have finished meanwhile.
    bool entered = false;
    while ((state & kOpen) != 0 && LoopOf(state) == last_loop && !entered) {
      entered = state_.compare_exchange_weak(state, state + 1);
    }
    if (!entered) continue;
    RunItems(worker);
    const uint64_t left = state_.fetch_sub(1) - 1;
    if ((left & kInside) == 0 && caller_sleeps_.load()) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      workers_left_.notify_one();
    }
  }
}

// Until a loop newer than last_loop is open (true) or the pool ends (false).
bool ThreadPool::WaitForWork(uint64_t last_loop) {
  const auto ready = [this, last_loop] {
    const uint64_t state = state_.load();
    return stop_.load() || ((state & kOpen) != 0 && LoopOf(state) != last_loop);
  };
  if (!SpinUntil(ready)) {
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_workers_.fetch_add(1);
    work_or_stop_.wait(lock, ready);
    sleeping_workers_.fetch_sub(1);
  }
  return !stop_.load();
}

}  // namespace barista

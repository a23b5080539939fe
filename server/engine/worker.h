// A thread that does one thing after another, for work that may block (copies of states, files, Redis) and must not
// hold up the engine's.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace barista {

class Worker {
 public:
  virtual ~Worker() = default;
  // Any thread. Runs `work` after what was given before it. All of it is done before the worker is gone.
  virtual void Run(std::function<void()> work) = 0;
};

class ThreadWorker final : public Worker {
 public:
  enum class Priority {
    kNormal,
    kIdle,  // only where a core has nothing else to do
  };
  explicit ThreadWorker(Priority priority = Priority::kNormal);
  ~ThreadWorker() override;
  void Run(std::function<void()> work) override;

 private:
  void Loop(Priority priority);

  absl::Mutex mutex_;
  absl::CondVar wake_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Does it at once, on the caller's thread.
class InlineWorker final : public Worker {
 public:
  void Run(std::function<void()> work) override { work(); }
};

}  // namespace barista

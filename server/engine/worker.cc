#include "server/engine/worker.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

namespace barista {

ThreadWorker::ThreadWorker(Priority priority) : thread_([this, priority] { Loop(priority); }) {}

ThreadWorker::~ThreadWorker() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.Signal();
  }
  thread_.join();
}

void ThreadWorker::Run(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  queue_.push_back(std::move(work));
  wake_.Signal();
}

void ThreadWorker::Loop(Priority priority) {
  if (priority == Priority::kIdle) {
    const sched_param none = {};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);  // where that is forbidden, it works as any other
  }
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mutex_);
      while (queue_.empty() && !stop_) wake_.Wait(&mutex_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace barista

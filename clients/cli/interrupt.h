// Turns Ctrl-C into a function call for as long as a scope lives.
#pragma once

#include <csignal>
#include <functional>
#include <thread>

namespace barista::cli {

// While one lives, SIGINT calls `on_interrupt` on a thread of the scope, once a signal, instead of ending the process.
// At most one lives at a time. The previous handling comes back with the destructor, after which no call is made.
class InterruptScope {
 public:
  explicit InterruptScope(std::function<void()> on_interrupt);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  struct sigaction previous_ {};
  int pipe_[2] = {-1, -1};  // read end, write end
  std::thread thread_;
};

}  // namespace barista::cli

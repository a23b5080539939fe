#include "clients/cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace barista::cli {
namespace {

constexpr char kInterrupted = 'i';
constexpr char kQuit = 'q';

// A handler may do little more than write to a pipe, and reaches it only through a global.
std::atomic<int> g_write_end{-1};

void HandleInterrupt(int) {
  const int saved_errno = errno;
  const int fd = g_write_end.load();
  if (fd >= 0) [[maybe_unused]]
    const ssize_t ignored = write(fd, &kInterrupted, 1);
  errno = saved_errno;
}

}  // namespace

InterruptScope::InterruptScope(std::function<void()> on_interrupt) {
  // Without a pipe (no file descriptors left) Ctrl-C keeps its usual meaning.
  if (pipe2(pipe_, O_CLOEXEC) != 0) return;
  thread_ = std::thread([fd = pipe_[0], on_interrupt = std::move(on_interrupt)] {
    char byte = 0;
    while (true) {
      const ssize_t count = read(fd, &byte, 1);
      if (count < 0 && errno == EINTR) continue;
      if (count != 1 || byte == kQuit) return;
      on_interrupt();
    }
  });
  g_write_end = pipe_[1];
  struct sigaction action {};
  action.sa_handler = HandleInterrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &previous_);
}

InterruptScope::~InterruptScope() {
  if (!thread_.joinable()) return;
  sigaction(SIGINT, &previous_, nullptr);
  g_write_end = -1;
  while (write(pipe_[1], &kQuit, 1) < 0 && errno == EINTR) {
  }
  thread_.join();
  close(pipe_[0]);
  close(pipe_[1]);
}

}  // namespace barista::cli

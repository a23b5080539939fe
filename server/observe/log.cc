#include "server/observe/log.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/async.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <memory>

namespace barista {
namespace {

using std::chrono::steady_clock;

// A file descriptor that may be a pipe: waits until it takes bytes, however long, but not beyond the end of patience.
// The log's thread alone, but for End and dropped.
class DescriptorSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}

  void End(steady_clock::time_point patience) { patience_ = patience; }
  int64_t dropped() const { return dropped_; }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    for (size_t written = 0; written < line.size();) {
      if (!WaitForRoom()) {
        ++dropped_;
        return;
      }
      // A pipe that has room takes this many bytes at once.
      const ssize_t count =
          write(descriptor_, line.data() + written, std::min<size_t>(line.size() - written, PIPE_BUF));
      if (count < 0 && errno != EINTR && errno != EAGAIN) {  // nobody will read any more
        ++dropped_;
        return;
      }
      if (count > 0) written += static_cast<size_t>(count);
    }
  }
  void flush_() override {}

  bool WaitForRoom() const {
    pollfd room = {.fd = descriptor_, .events = POLLOUT};
    while (true) {
      const bool over = steady_clock::now() >= patience_.load();
      if (poll(&room, 1, over ? 0 : 100) > 0) return true;
      if (over) return false;
    }
  }

  const int descriptor_;
  std::atomic<steady_clock::time_point> patience_ = steady_clock::time_point::max();
  std::atomic<int64_t> dropped_ = 0;
};

std::shared_ptr<DescriptorSink>& Sink() {
  static auto& sink = *new std::shared_ptr<DescriptorSink>;
  return sink;
}

void BlockSigpipe() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void Write(spdlog::level::level_enum level, const char* event, nlohmann::ordered_json fields) {
  nlohmann::ordered_json line = {{"event", event}};
  line.update(fields);
  const std::string text = line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  spdlog::log(level, "{}", text.substr(1));  // the pattern opens the object
}

void Write(spdlog::level::level_enum level, const char* event, std::initializer_list<LogField> fields) {
  if (!spdlog::should_log(level)) return;
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& [key, value] : fields) all[key] = value;
  Write(level, event, std::move(all));
}

}  // namespace

void InitLog(const std::string& level, int descriptor) {
  constexpr size_t kQueueLines = 8192;
  spdlog::init_thread_pool(kQueueLines, 1, BlockSigpipe);
  Sink() = std::make_shared<DescriptorSink>(descriptor);
  auto logger = std::make_shared<spdlog::async_logger>("barista", Sink(), spdlog::thread_pool(),
                                                       spdlog::async_overflow_policy::overrun_oldest);
  spdlog::set_default_logger(logger);
  spdlog::set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%f%z","level":"%l",%v)");
  spdlog::set_level(spdlog::level::from_str(level));
}

void FlushLog() {
  if (Sink() != nullptr) Sink()->End(steady_clock::now() + std::chrono::seconds(2));
  spdlog::shutdown();
}

int64_t LogLinesDropped() {
  const std::shared_ptr<spdlog::details::thread_pool> queue = spdlog::thread_pool();
  const int64_t overrun = queue == nullptr ? 0 : static_cast<int64_t>(queue->overrun_counter());
  return overrun + (Sink() == nullptr ? 0 : Sink()->dropped());
}

void LogInfo(const char* event, std::initializer_list<LogField> fields) { Write(spdlog::level::info, event, fields); }
void LogError(const char* event, std::initializer_list<LogField> fields) { Write(spdlog::level::err, event, fields); }
void LogInfo(const char* event, const nlohmann::ordered_json& fields) {
  if (spdlog::should_log(spdlog::level::info)) Write(spdlog::level::info, event, fields);
}

}  // namespace barista

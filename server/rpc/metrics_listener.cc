#include "server/rpc/metrics_listener.h"

#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "server/observe/log.h"

namespace barista {
namespace {

// Connects and hangs up. A port where nobody listens any more is fine.
void Knock(const addrinfo& target) {
  const int fd = socket(target.ai_family, target.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, target.ai_protocol);
  if (fd < 0) return;
  [[maybe_unused]] const int ignored = connect(fd, target.ai_addr, target.ai_addrlen);
  close(fd);
}

// What a scrape reads.
class Page final : public prometheus::Collectable {
 public:
  explicit Page(Metrics& metrics) : metrics_(metrics) {}

  // On a thread of civetweb's, which from here on yields to whatever computes.
  std::vector<prometheus::MetricFamily> Collect() const override {
    thread_local const int yields = setpriority(PRIO_PROCESS, 0, 19);  // of this thread alone, on Linux
    static_cast<void>(yields);
    {
      absl::MutexLock lock(&mutex_);
      prometheus::Counter& dropped = metrics_.log_lines_dropped_total;
      dropped.Increment(static_cast<double>(LogLinesDropped()) - dropped.Value());
    }
    return metrics_.registry()->Collect();
  }

 private:
  Metrics& metrics_;
  mutable absl::Mutex mutex_;
};

std::string HostOf(const std::string& address) {
  const absl::string_view host = absl::string_view(address).substr(0, address.rfind(':'));
  return std::string(absl::StripSuffix(absl::StripPrefix(host, "["), "]"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsListener>> MetricsListener::Start(const std::string& address, Metrics& metrics) {
  auto page = std::make_shared<Page>(metrics);
  const std::vector<std::string> options = {"listening_ports",  address, "num_threads",        "4",
                                            "connection_queue", "64",    "listen_backlog",     "64",
                                            "max_request_size", "8192",  "request_timeout_ms", "2000"};
  try {  // civetweb reports a taken port by an exception
    auto exposer = std::make_unique<prometheus::Exposer>(options);
    exposer->RegisterCollectable(page);
    return std::unique_ptr<MetricsListener>(new MetricsListener(page, std::move(exposer), address));
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat("metrics_listen: cannot listen on ", address, ": ", e.what()));
  }
}

MetricsListener::MetricsListener(std::shared_ptr<prometheus::Collectable> page,
                                 std::unique_ptr<prometheus::Exposer> exposer, const std::string& address)
    : page_(std::move(page)),
      exposer_(std::move(exposer)),
      port_(exposer_->GetListeningPorts().front()),
      host_(HostOf(address)) {}

MetricsListener::~MetricsListener() {
  // civetweb looks whether it should stop after each connection, and without any only every 2 s: so it gets some.
  absl::Notification stopped;
  std::thread stop([&] {
    exposer_ = nullptr;
    stopped.Notify();
  });
  const addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* target = nullptr;
  if (getaddrinfo(host_.c_str(), std::to_string(port_).c_str(), &hints, &target) != 0) target = nullptr;
  while (target != nullptr && !stopped.WaitForNotificationWithTimeout(absl::Milliseconds(5))) Knock(*target);
  if (target != nullptr) freeaddrinfo(target);
  stop.join();
}

}  // namespace barista

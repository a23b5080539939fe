#include "server/observe/health_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace barista {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{5};  // for a request
constexpr std::chrono::seconds kLinger{1};    // for the other side to read the answer
constexpr std::chrono::milliseconds kPause{50};

std::string Answer(absl::string_view status, absl::string_view body) {
  return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: text/plain\r\nContent-Length: ", body.size() + 1,
                      "\r\nConnection: close\r\n\r\n", body, "\n");
}

std::string Answer(const absl::Status& status) {
  return status.ok() ? Answer("200 OK", "ok") : Answer("503 Service Unavailable", status.message());
}

// A listening socket, or -1 with errno.
int Listen(const addrinfo& at) {
  const int fd = socket(at.ai_family, at.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at.ai_protocol);
  const int on = 1;
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, at.ai_addr, at.ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int PortOf(int fd) {
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

}  // namespace

std::string AnswerProbe(absl::string_view head, const Health& health, Health::TimePoint now) {
  absl::string_view path = head.substr(0, head.find("\r\n"));
  if (!absl::ConsumePrefix(&path, "GET ")) return Answer("405 Method Not Allowed", "GET /livez or GET /readyz");
  path = path.substr(0, path.find_first_of(" ?"));
  if (path == "/livez") return Answer(health.Live(now));
  if (path == "/readyz") return Answer(health.Ready());
  return Answer("404 Not Found", "GET /livez or GET /readyz");
}

absl::StatusOr<std::unique_ptr<HealthListener>> HealthListener::Start(const std::string& address,
                                                                      const Health& health) {
  const size_t colon = address.rfind(':');
  const absl::string_view bracketed = absl::string_view(address).substr(0, colon);
  const std::string host(absl::StripSuffix(absl::StripPrefix(bracketed, "["), "]"));
  const addrinfo hints = {.ai_flags = AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
  const auto failed = [&](absl::string_view why) {
    return absl::UnavailableError(absl::StrCat("health_listen: cannot listen on ", address, ": ", why));
  };
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return failed(gai_strerror(error));
  const int listener = Listen(*found);
  const int why = errno;
  freeaddrinfo(found);
  if (listener < 0) return failed(std::strerror(why));
  const int stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop < 0) {
    close(listener);
    return failed("no file descriptor is left");
  }
  return std::unique_ptr<HealthListener>(
      new HealthListener(listener, stop, absl::StrCat(bracketed, ":", PortOf(listener)), health));
}

HealthListener::HealthListener(int listener, int stop, std::string address, const Health& health)
    : listener_(listener), stop_(stop), address_(std::move(address)), health_(health), thread_([this] { Run(); }) {}

HealthListener::~HealthListener() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_, &one, sizeof(one));
  thread_.join();
  for (const Connection& connection : connections_) close(connection.fd);
  close(listener_);
  close(stop_);
}

void HealthListener::Run() {
  std::vector<pollfd> polled;
  while (true) {
    polled = {{stop_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Connection& connection : connections_) polled.push_back({connection.fd, POLLIN, 0});
    const int timeout_ms = connections_.empty() ? -1 : static_cast<int>(kPause.count());
    if (poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) return;
    if (polled[0].revents != 0) return;
    const auto now = steady_clock::now();
    auto readable = polled.begin() + 2;
    for (auto it = connections_.begin(); it != connections_.end(); ++readable) {
      const bool done = (readable->revents != 0 && !Read(*it)) || now >= it->until;
      if (done) close(it->fd);
      it = done ? connections_.erase(it) : std::next(it);
    }
    if (polled[1].revents != 0) Accept();
  }
}

void HealthListener::Accept() {
  // As many as there may be; a flood does not keep the loop here.
  for (size_t i = 0; i < kConnectionsMax && AcceptOne(); ++i) {
  }
}

bool HealthListener::AcceptOne() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  const bool exhausted = fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
  if (!connections_.empty() && (exhausted || connections_.size() >= kConnectionsMax)) {
    close(connections_.front().fd);
    connections_.pop_front();
  } else if (exhausted) {
    std::this_thread::sleep_for(kPause);  // no file descriptor is left, and none of them is ours
  }
  if (fd >= 0) connections_.push_back({fd, steady_clock::now() + kPatience, {}});
  return fd >= 0;
}

bool HealthListener::Read(Connection& connection) const {
  char bytes[1024];
  const ssize_t count = recv(connection.fd, bytes, sizeof(bytes), 0);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  if (connection.answered) return true;  // read and dropped: closing over unread bytes would take the answer back
  connection.head.append(bytes, static_cast<size_t>(count));
  const bool whole = absl::StrContains(connection.head, "\r\n\r\n");
  if (!whole && connection.head.size() <= kHeadBytesMax) return true;
  const auto now = steady_clock::now();
  const std::string answer =
      whole ? AnswerProbe(connection.head, health_, now) : Answer("431 Request Header Fields Too Large", "too long");
  // It fits into the socket's buffer: nothing was sent before.
  if (send(connection.fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return false;
  shutdown(connection.fd, SHUT_WR);
  connection.answered = true;
  connection.head.clear();
  connection.until = std::min(connection.until, now + kLinger);
  return true;
}

}  // namespace barista

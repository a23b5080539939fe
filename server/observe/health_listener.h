// The HTTP port that probes ask: GET /livez and GET /readyz, each 200 "ok" or 503 with one line of reason.
//
// One thread and a bounded number of connections: a client that is slow or silent costs one of them for some seconds,
// and where all are taken the oldest gives way, so nobody keeps a probe out.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/observe/health.h"

namespace barista {

// The whole answer to a request's head.
std::string AnswerProbe(absl::string_view head, const Health& health, Health::TimePoint now);

class HealthListener {
 public:
  static constexpr size_t kConnectionsMax = 64;
  static constexpr size_t kHeadBytesMax = 4096;

  // `address`: HOST:PORT, port 0 picks a free one. `health` outlives it. Unavailable names an address that could not be
  // bound.
  static absl::StatusOr<std::unique_ptr<HealthListener>> Start(const std::string& address, const Health& health);
  ~HealthListener();

  const std::string& address() const { return address_; }  // HOST:PORT as bound

 private:
  struct Connection {
    int fd;
    std::chrono::steady_clock::time_point until;  // then it is closed, whatever it waits for
    std::string head;
    bool answered = false;  // it is only waited for the other side to close
  };

  HealthListener(int listener, int stop, std::string address, const Health& health);
  void Run();
  void Accept();
  bool AcceptOne();                         // false: none waits, or none can be had
  bool Read(Connection& connection) const;  // false: it is done

  const int listener_, stop_;
  const std::string address_;
  const Health& health_;
  std::list<Connection> connections_;  // the oldest first
  std::thread thread_;
};

}  // namespace barista

// A redis-server of a test's own, on a free port of the loopback, with its files in a directory of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "server/store/redis_connection.h"
#include "tests/support/temp_dir.h"

namespace barista {

class RedisServer {
 public:
  // `durable`: what was acknowledged is on disk.
  explicit RedisServer(bool durable = false) : durable_(durable) {}
  ~RedisServer() { Kill(); }

  // Returns when it accepts connections; the second time on the same port, with what is on disk. False, with a failure
  // that says why, where there is no redis-server or it does not start.
  bool Start();
  void Kill();      // SIGKILL, and waits for its end
  void Freeze();    // SIGSTOP, and waits for it
  void Unfreeze();  // SIGCONT

  bool running() const { return pid_ > 0; }
  RedisAddress address() const { return {.host = "127.0.0.1", .port = port_}; }
  std::unique_ptr<RedisConnection> Connect() const;

  // For the test itself: a command on a connection of its own, which has to succeed; and the names of all keys.
  RedisValue Command(std::initializer_list<absl::string_view> words) const;
  std::vector<std::string> Keys() const;

 private:
  const bool durable_;
  const TempDir dir_;
  int port_ = 0;
  pid_t pid_ = 0;
};

// One server for all tests of a suite, empty at the start of each.
class RedisTest : public testing::Test {
 protected:
  static void TearDownTestSuite();
  void SetUp() override;

  static RedisServer* redis_;
};

// Runs `n` times by default, ten times that where BARISTA_FULL is 1.
int Count(int n);

}  // namespace barista

// The connection to Redis: what it takes for an address, and that no failure of Redis costs more than the timeout once.
#include "server/store/redis_connection.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/store/redis_server.h"

namespace barista {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(RedisAddressTest, HostAndPortAreTaken) {
  EXPECT_EQ(ParseRedisAddress("redis.internal:6379")->host, "redis.internal");
  EXPECT_EQ(ParseRedisAddress("redis.internal:6379")->port, 6379);
  EXPECT_EQ(ParseRedisAddress("[::1]:1")->host, "::1");
}

TEST(RedisAddressTest, WhatIsWrongIsNamed) {
  const auto refusal = [](absl::string_view text) { return std::string(ParseRedisAddress(text).status().message()); };
  EXPECT_EQ(refusal("redis"), "--redis: \"redis\" is not HOST:PORT");
  EXPECT_EQ(refusal(":6379"), "--redis: \":6379\" is not HOST:PORT");
  EXPECT_EQ(refusal("redis:0"), "--redis: \"redis:0\" has no port of 1 to 65535");
  EXPECT_EQ(refusal("redis:65536"), "--redis: \"redis:65536\" has no port of 1 to 65535");
  EXPECT_EQ(refusal("redis:"), "--redis: \"redis:\" has no port of 1 to 65535");
  EXPECT_THAT(refusal("::1:6379"), HasSubstr("write [ADDRESS]:PORT"));
  EXPECT_THAT(refusal("[::1:6379"), HasSubstr("without its ]"));
}

TEST(BreakerTest, PausesDoubleUpToALimitAndEndWithASuccess) {
  Breaker breaker;
  Breaker::TimePoint now;
  EXPECT_EQ(breaker.Pause(now), milliseconds(0));
  for (const int pause_ms : {200, 400, 800, 1600, 2000, 2000}) {
    breaker.Failed(now);
    EXPECT_EQ(breaker.Pause(now), milliseconds(pause_ms));
    EXPECT_EQ(breaker.Pause(now + milliseconds(pause_ms - 1)), milliseconds(1));
    now += milliseconds(pause_ms);
    EXPECT_EQ(breaker.Pause(now), milliseconds(0));
  }
  breaker.Succeeded();
  breaker.Failed(now);
  EXPECT_EQ(breaker.Pause(now), milliseconds(200));
}

class RedisConnectionTest : public RedisTest {
 protected:
  RedisConnection Connection(milliseconds timeout = seconds(20)) {
    return RedisConnection({.address = redis_->address(), .timeout = timeout, .now = [this] { return now_; }});
  }

  Breaker::TimePoint now_;
};

TEST_F(RedisConnectionTest, BytesComeBackAsTheyWere) {
  RedisConnection connection = Connection();
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100'000}, size_t{6'000'000}}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7);
    EXPECT_EQ(connection.Call({"SET", "key", bytes})->text, "OK");
    EXPECT_EQ(connection.Call({"GET", "key"})->text, bytes);
  }
  EXPECT_EQ(connection.Call({"GET", "none"})->kind, RedisValue::Kind::kNil);
  EXPECT_EQ(connection.Call({"INCR", "number"})->integer, 1);
  EXPECT_EQ(connection.Call({"MGET", "number", "none"})->elements.size(), 2u);
}

TEST_F(RedisConnectionTest, AnErrorOfRedisIsAReply) {
  RedisConnection connection = Connection();
  EXPECT_EQ(connection.Call({"NONSENSE"})->kind, RedisValue::Kind::kError);
  EXPECT_EQ(connection.Call({"PING"})->text, "PONG");
}

TEST_F(RedisConnectionTest, AConnectionThatRedisClosedIsMadeAgain) {
  RedisConnection connection = Connection();
  ASSERT_TRUE(connection.Call({"PING"}).ok());
  redis_->Command({"CLIENT", "KILL", "TYPE", "normal"});
  EXPECT_EQ(connection.Call({"PING"})->text, "PONG");
}

TEST_F(RedisConnectionTest, AFrozenRedisCostsOneTimeoutAndThenNothing) {
  RedisConnection connection = Connection(milliseconds(60));
  ASSERT_TRUE(connection.Call({"SET", "key", "old"}).ok());
  redis_->Freeze();
  const auto begin = std::chrono::steady_clock::now();
  const absl::Status timed_out = connection.Call({"GET", "key"}).status();
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_TRUE(absl::IsUnavailable(timed_out));
  EXPECT_EQ(timed_out.message(), "redis: no answer within 60 ms");
  EXPECT_GE(took, milliseconds(60));
  EXPECT_LT(took, seconds(10));     // far more than the timeout only because machines that test are busy
  for (int i = 0; i < 1000; ++i) {  // would take a minute if each were tried
    EXPECT_EQ(connection.Call({"GET", "key"}).status().message(),
              "redis: no answer within 60 ms; not tried again for 200 ms");
  }
  now_ += milliseconds(200);
  EXPECT_EQ(connection.Call({"PING"}).status().message(), "redis: no answer within 60 ms");
  EXPECT_THAT(connection.Call({"PING"}).status().message(), HasSubstr("not tried again for 400 ms"));
  redis_->Unfreeze();
  now_ += milliseconds(400);
  // The reply to the first GET, which Redis sends now, belongs to a connection that is gone.
  while (!connection.Call({"PING"}).ok()) now_ += Breaker::kPauseMax;
  EXPECT_EQ(connection.Call({"PING"})->text, "PONG");
}

TEST_F(RedisConnectionTest, ACommandThatDoesNotFitIntoTheSocketTimesOutToo) {
  RedisConnection connection = Connection(milliseconds(60));
  redis_->Freeze();
  const std::string bytes(64 << 20, 'x');
  EXPECT_EQ(connection.Call({"SET", "key", bytes}).status().message(), "redis: no answer within 60 ms");
  redis_->Unfreeze();
}

TEST_F(RedisConnectionTest, ARedisThatIsGoneIsFoundAgainWhenItIsBack) {
  RedisConnection connection = Connection();
  ASSERT_TRUE(connection.Call({"PING"}).ok());
  redis_->Kill();
  EXPECT_EQ(connection.Call({"PING"}).status().message(), "redis: cannot connect: Connection refused");
  ASSERT_TRUE(redis_->Start());
  EXPECT_TRUE(absl::IsUnavailable(connection.Call({"PING"}).status()));
  now_ += milliseconds(200);
  EXPECT_EQ(connection.Call({"PING"})->text, "PONG");
}

// Answers the first connection with `answer`, whatever it says, and hangs up.
class Impostor {
 public:
  explicit Impostor(std::string answer) : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, text = std::move(answer)] {
      const int fd = accept(listener_, nullptr, nullptr);
      char request[256];
      EXPECT_GT(recv(fd, request, sizeof(request), 0), 0);
      EXPECT_EQ(send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
      close(fd);
    });
  }
  ~Impostor() {
    thread_.join();
    close(listener_);
  }

  absl::Status Answer() const {
    return RedisConnection({.address = {"127.0.0.1", port_}, .timeout = seconds(20)}).Call({"PING"}).status();
  }

 private:
  const int listener_;
  int port_ = 0;
  std::thread thread_;
};

TEST(RedisProtocolTest, WhatIsNotRedisIsNotUnderstood) {
  EXPECT_THAT(Impostor("HTTP/1.1 400 Bad Request\r\n\r\n").Answer().message(), HasSubstr("redis: not understood"));
  EXPECT_EQ(Impostor("$5\r\nPO").Answer().message(), "redis: closed the connection instead of answering");
  EXPECT_TRUE(Impostor("+PONG\r\n").Answer().ok());
}

}  // namespace
}  // namespace barista

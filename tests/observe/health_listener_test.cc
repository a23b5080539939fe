#include "server/observe/health_listener.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace barista {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

const Health::TimePoint kNow = Health::TimePoint() + seconds(1000);

std::string Ask(const std::string& path, const Health& health) {
  return AnswerProbe("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", health, kNow);
}

TEST(HealthTest, ItLivesUntilAStepDoesNotEnd) {
  Health health;
  StepClock& first = health.AddEngine();
  StepClock& second = health.AddEngine();
  EXPECT_TRUE(health.Live(kNow).ok());
  second.Begins(kNow - seconds(60));
  EXPECT_TRUE(health.Live(kNow).ok());
  first.Begins(kNow);
  second.Begins(kNow - seconds(61));
  EXPECT_THAT(std::string(health.Live(kNow).message()), HasSubstr("61 s"));
  second.Ended();
  EXPECT_TRUE(health.Live(kNow).ok());
}

TEST(HealthTest, ItIsReadyWhileItServes) {
  Health health;
  EXPECT_EQ(health.Ready().message(), "loading");
  health.Enter(Health::Phase::kServing);
  EXPECT_TRUE(health.Ready().ok());
  health.Enter(Health::Phase::kDraining);
  EXPECT_EQ(health.Ready().message(), "draining");
}

TEST(AnswerProbeTest, TwoPathsAndOneMethod) {
  Health health;
  EXPECT_THAT(Ask("/livez", health), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 3\r\n"),
                                           testing::EndsWith("\r\n\r\nok\n")));
  EXPECT_THAT(Ask("/readyz", health), AllOf(StartsWith("HTTP/1.1 503 "), testing::EndsWith("\r\n\r\nloading\n")));
  EXPECT_THAT(Ask("/livez?verbose", health), StartsWith("HTTP/1.1 200 "));
  for (const char* path : {"/", "/livezz", "/metrics", "/../livez", ""}) {
    EXPECT_THAT(Ask(path, health), StartsWith("HTTP/1.1 404 ")) << path;
  }
  EXPECT_THAT(AnswerProbe("POST /livez HTTP/1.1\r\n\r\n", health, kNow), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(AnswerProbe(std::string("\0\r\n\r\n", 5), health, kNow), StartsWith("HTTP/1.1 405 "));
}

class Client {
 public:
  explicit Client(const HealthListener& listener) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(std::stoi(listener.address().substr(10)))};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  }
  ~Client() { close(fd_); }

  void Send(const std::string& bytes) const { EXPECT_GE(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0); }
  std::string ReadAll() const {
    std::string all;
    char bytes[512];
    for (ssize_t n; (n = recv(fd_, bytes, sizeof(bytes), 0)) > 0;) all.append(bytes, static_cast<size_t>(n));
    return all;
  }

 private:
  const int fd_;
};

TEST(HealthListenerTest, AProbeIsAnsweredWhileAnyNumberOfOthersAreSilent) {
  Health health;
  const auto listener = HealthListener::Start("127.0.0.1:0", health);
  ASSERT_TRUE(listener.ok()) << listener.status();
  std::vector<std::unique_ptr<Client>> silent;
  for (size_t i = 0; i < 2 * HealthListener::kConnectionsMax; ++i) {
    silent.push_back(std::make_unique<Client>(**listener));
    if (i % 2 == 0) silent.back()->Send("GET /live");
  }
  const Client probe(**listener);
  probe.Send("GET /livez HTTP/1.1\r\n\r\n");
  EXPECT_THAT(probe.ReadAll(), StartsWith("HTTP/1.1 200 "));
}

TEST(HealthListenerTest, ARequestMayComeInPiecesAndHasALimit) {
  Health health;
  const auto listener = HealthListener::Start("127.0.0.1:0", health);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const Client pieces(**listener);
  for (const char c : std::string("GET /livez HTTP/1.0\r\n\r\n")) pieces.Send(std::string(1, c));
  EXPECT_THAT(pieces.ReadAll(), StartsWith("HTTP/1.1 200 "));
  const Client endless(**listener);
  endless.Send(std::string(HealthListener::kHeadBytesMax + 1, 'x'));
  EXPECT_THAT(endless.ReadAll(), StartsWith("HTTP/1.1 431 "));
}

TEST(HealthListenerTest, APortThatIsTakenIsNamed) {
  Health health;
  const auto first = HealthListener::Start("127.0.0.1:0", health);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = HealthListener::Start((*first)->address(), health);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr((*first)->address()));
}

}  // namespace
}  // namespace barista

#include "tests/store/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/full.h"

namespace barista {
namespace {

// deploy/bootstrap.sh puts it into build/tools/bin; else the one on PATH. Empty: none.
std::string FindProgram() {
  const char* path = std::getenv("PATH");
  const std::string places = absl::StrCat("build/tools/bin:", path != nullptr ? path : "");
  for (const absl::string_view place : absl::StrSplit(places, ':')) {
    const std::string program = absl::StrCat(place, "/redis-server");
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

// Reads what the server prints until it says that it is ready. Empty then; else all that it printed before it ended.
std::string AwaitReady(int output) {
  std::string printed;
  char bytes[4096];
  while (!absl::StrContains(printed, "Ready to accept connections")) {
    const ssize_t got = read(output, bytes, sizeof(bytes));
    if (got <= 0) return printed + "(end)";
    printed.append(bytes, static_cast<size_t>(got));
  }
  return "";
}

}  // namespace

bool RedisServer::Start() {
  const std::string program = FindProgram();
  if (program.empty()) {
    ADD_FAILURE() << "redis-server is neither in build/tools/bin nor on PATH; bash deploy/bootstrap.sh --test gets it";
    return false;
  }
  if (port_ == 0) port_ = FreePort();
  std::vector<std::string> words = {
      program,     "--bind", "127.0.0.1", "--port",       absl::StrCat(port_),     "--dir",
      dir_.path(), "--save", "",          "--appendonly", durable_ ? "yes" : "no", "--appendfsync",
      "always"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int output[2];
  EXPECT_EQ(pipe2(output, O_CLOEXEC), 0);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // it ends with the test, however that ends
    dup2(output[1], STDOUT_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(output[1]);
  const std::string printed = AwaitReady(output[0]);
  close(output[0]);
  if (printed.empty()) return true;
  Kill();
  ADD_FAILURE() << program << " did not start: " << printed;
  return false;
}

void RedisServer::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void RedisServer::Freeze() {
  kill(pid_, SIGSTOP);
  waitpid(pid_, nullptr, WUNTRACED);
}

void RedisServer::Unfreeze() { kill(pid_, SIGCONT); }

std::unique_ptr<RedisConnection> RedisServer::Connect() const {
  return std::make_unique<RedisConnection>(
      RedisConnectionOptions{.address = address(), .timeout = std::chrono::seconds(20)});
}

RedisValue RedisServer::Command(std::initializer_list<absl::string_view> words) const {
  const absl::StatusOr<RedisValue> reply = Connect()->Call(words);
  EXPECT_TRUE(reply.ok()) << reply.status();
  if (!reply.ok()) return {};
  EXPECT_NE(reply->kind, RedisValue::Kind::kError) << reply->text;
  return *reply;
}

std::vector<std::string> RedisServer::Keys() const {
  std::vector<std::string> keys;
  for (const RedisValue& key : Command({"KEYS", "*"}).elements) keys.push_back(key.text);
  std::sort(keys.begin(), keys.end());
  return keys;
}

RedisServer* RedisTest::redis_ = nullptr;

void RedisTest::TearDownTestSuite() {
  delete redis_;
  redis_ = nullptr;
}

void RedisTest::SetUp() {
  if (redis_ == nullptr) redis_ = new RedisServer();
  ASSERT_TRUE(redis_->running() || redis_->Start());
  redis_->Command({"FLUSHALL"});
  redis_->Command({"CONFIG", "SET", "maxmemory", "0"});
}

int Count(int n) { return test::WantsWholeCounts() ? 10 * n : n; }

}  // namespace barista

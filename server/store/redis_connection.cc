#include "server/store/redis_connection.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

using std::chrono::steady_clock;

constexpr size_t kReadBytes = 64 << 10;

absl::Status Failure(absl::string_view what) { return absl::UnavailableError(absl::StrCat("redis: ", what)); }

struct FreeReply {
  void operator()(void* reply) const { freeReplyObject(reply); }
};

RedisValue ToValue(const redisReply& reply) {
  const auto text = [&reply](RedisValue::Kind kind) {
    return RedisValue{.kind = kind, .text = std::string(reply.str, reply.len)};
  };
  switch (reply.type) {
    case REDIS_REPLY_STRING:
      return text(RedisValue::Kind::kString);
    case REDIS_REPLY_STATUS:
      return text(RedisValue::Kind::kStatus);
    case REDIS_REPLY_ERROR:
      return text(RedisValue::Kind::kError);
    case REDIS_REPLY_INTEGER:
      return {.kind = RedisValue::Kind::kInteger, .integer = reply.integer};
    case REDIS_REPLY_ARRAY: {
      RedisValue value = {.kind = RedisValue::Kind::kArray};
      value.elements.reserve(reply.elements);
      for (size_t i = 0; i < reply.elements; ++i) value.elements.push_back(ToValue(*reply.element[i]));
      return value;
    }
    default:
      return {};
  }
}

std::string Encoded(absl::Span<const absl::string_view> words) {
  size_t bytes = 16;
  for (const absl::string_view word : words) bytes += word.size() + 32;
  std::string command;
  command.reserve(bytes);
  absl::StrAppend(&command, "*", words.size(), "\r\n");
  for (const absl::string_view word : words) absl::StrAppend(&command, "$", word.size(), "\r\n", word, "\r\n");
  return command;
}

}  // namespace

absl::StatusOr<RedisAddress> ParseRedisAddress(absl::string_view text) {
  const auto refused = [text](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("--redis: \"", text, "\" ", what));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return refused("is not HOST:PORT");
  absl::string_view host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 3) return refused("has a [ without its ]");
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != absl::string_view::npos) {
    return refused("holds an IPv6 address without brackets; write [ADDRESS]:PORT");
  }
  int port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return refused("has no port of 1 to 65535");
  }
  return RedisAddress{.host = std::string(host), .port = port};
}

void RedisConnection::Close::operator()(redisContext* context) const { redisFree(context); }

RedisConnection::RedisConnection(RedisConnectionOptions options) : options_(std::move(options)) {}
RedisConnection::~RedisConnection() = default;

absl::StatusOr<RedisValue> RedisConnection::Call(absl::Span<const absl::string_view> words) {
  if (const auto pause = breaker_.Pause(options_.now()); pause.count() > 0) {
    return absl::UnavailableError(absl::StrCat(failure_, "; not tried again for ", pause.count(), " ms"));
  }
  absl::StatusOr<RedisValue> reply = Try(words);
  if (reply.ok()) {
    breaker_.Succeeded();
  } else {
    context_ = nullptr;
    failure_ = std::string(reply.status().message());
    breaker_.Failed(options_.now());
  }
  return reply;
}

absl::StatusOr<RedisValue> RedisConnection::Try(absl::Span<const absl::string_view> words) {
  const TimePoint deadline = steady_clock::now() + options_.timeout;
  // Nothing was sent yet, so a connection that Redis closed meanwhile (a restart, its idle timeout) is no failure.
  if (context_ != nullptr && !IsQuiet()) context_ = nullptr;
  if (context_ == nullptr) {
    if (absl::Status s = Connect(); !s.ok()) return s;
  }
  if (absl::Status s = Send(Encoded(words), deadline); !s.ok()) return s;
  return Receive(deadline);
}

absl::Status RedisConnection::Connect() {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(options_.timeout).count();
  const timeval timeout = {.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
  context_.reset(redisConnectWithTimeout(options_.address.host.c_str(), options_.address.port, timeout));
  if (context_ == nullptr) return Failure("cannot connect: no memory");
  if (context_->err != 0) return Failure(absl::StrCat("cannot connect: ", context_->errstr));
  fcntl(context_->fd, F_SETFD, FD_CLOEXEC);
  return absl::OkStatus();
}

// Open, and without bytes that nobody asked for.
bool RedisConnection::IsQuiet() const {
  char byte;
  return recv(context_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

// hiredis would write with SIGPIPE, copy once more, and know a timeout for each system call only, not for all of them.
absl::Status RedisConnection::Send(absl::string_view bytes, TimePoint deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(context_->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (absl::Status s = Await(POLLOUT, deadline); !s.ok()) return s;
    } else if (errno != EINTR) {
      return Failure(absl::StrCat("cannot send: ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RedisValue> RedisConnection::Receive(TimePoint deadline) {
  std::array<char, kReadBytes> buffer;
  while (true) {
    void* reply = nullptr;
    if (redisReaderGetReply(context_->reader, &reply) != REDIS_OK) {
      return Failure(absl::StrCat("not understood: ", context_->reader->errstr));
    }
    if (reply != nullptr) {
      const std::unique_ptr<void, FreeReply> owner(reply);
      return ToValue(*static_cast<redisReply*>(reply));
    }
    if (absl::Status s = Await(POLLIN, deadline); !s.ok()) return s;
    const ssize_t got = recv(context_->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got == 0) return Failure("closed the connection instead of answering");
    if (got < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) continue;
      return Failure(absl::StrCat("cannot receive: ", std::strerror(errno)));
    }
    if (redisReaderFeed(context_->reader, buffer.data(), static_cast<size_t>(got)) != REDIS_OK) {
      return Failure(absl::StrCat("not understood: ", context_->reader->errstr));
    }
  }
}

absl::Status RedisConnection::Await(short events, TimePoint deadline) const {
  pollfd wait = {.fd = context_->fd, .events = events};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    const int ready = left > 0 ? poll(&wait, 1, static_cast<int>(left)) : 0;
    if (ready > 0) return absl::OkStatus();
    if (ready == 0) return Failure(absl::StrCat("no answer within ", options_.timeout.count(), " ms"));
    if (errno != EINTR) return Failure(absl::StrCat("cannot wait: ", std::strerror(errno)));
  }
}

}  // namespace barista

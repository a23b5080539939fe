// One command to Redis and its reply. RedisConnection is the real one; tests have one that loses, delays and repeats.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace barista {

struct RedisValue {
  enum class Kind { kNil, kInteger, kString, kStatus, kError, kArray };

  Kind kind = Kind::kNil;
  int64_t integer = 0;               // kInteger
  std::string text;                  // kString, kStatus, kError
  std::vector<RedisValue> elements;  // kArray
};

// One thread at a time.
class RedisChannel {
 public:
  virtual ~RedisChannel() = default;

  // Redis's reply, which may be an error (kError). Errors: Unavailable: there is no reply. The command may have been
  // executed, or may yet be: bytes that were sent can lie in a buffer for as long as Redis stands still.
  virtual absl::StatusOr<RedisValue> Call(absl::Span<const absl::string_view> words) = 0;
};

}  // namespace barista

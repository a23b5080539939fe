// A file that lies in memory alone and is replaced at once: whoever opens its path reads the old bytes or the new ones,
// never a part of both. For libraries that take paths, and secrets that no disk should hold. Linux.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

class MemoryFile {
 public:
  // Errors: ResourceExhausted where no file descriptor is left.
  static absl::StatusOr<std::unique_ptr<MemoryFile>> Create(absl::string_view bytes);
  ~MemoryFile();

  // The time of change that others see grows by a second or more each time. Errors: those of Create; the old bytes
  // stay.
  absl::Status Replace(absl::string_view bytes);
  std::string path() const;  // of this process alone

 private:
  static constexpr int64_t kFirst = 1;
  explicit MemoryFile(int fd) : fd_(fd) {}

  const int fd_;
  int64_t generation_ = kFirst;
};

}  // namespace barista

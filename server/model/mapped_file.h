// A whole file mapped read-only into memory; the mapping lives as long as the object.
// Held by shared_ptr wherever something points into it. Any thread may read. A file that is truncated by another
// process while it is mapped kills the reader (SIGBUS): replace checkpoints by rename, do not rewrite them in place.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace barista {

class MappedFile {
 public:
  // Maps `path`. Errors: NotFound where nothing is there, InvalidArgument for a directory or another non-regular file,
  // and the code that fits errno for what else the system reports. An empty file is an empty span.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  absl::Span<const std::byte> bytes() const { return bytes_; }

 private:
  MappedFile(std::string path, absl::Span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::string path_;
  absl::Span<const std::byte> bytes_;
};

}  // namespace barista

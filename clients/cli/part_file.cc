#include "clients/cli/part_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace barista::cli {
namespace {

absl::Status Failed(const std::string& file) {
  return absl::UnavailableError(absl::StrCat("cannot write ", file, ": ", std::strerror(errno)));
}

}  // namespace

PartFile::~PartFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(part_.c_str());
}

absl::Status PartFile::Open() {
  fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return fd_ < 0 ? Failed(part_) : absl::OkStatus();
}

absl::Status PartFile::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed(part_);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status PartFile::Commit() {
  if (fsync(fd_) != 0) return Failed(part_);
  if (rename(part_.c_str(), name_.c_str()) != 0) return Failed(name_);
  close(std::exchange(fd_, -1));  // all is on the disk: nothing is left that could fail
  return absl::OkStatus();
}

}  // namespace barista::cli

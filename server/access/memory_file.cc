#include "server/access/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

// The descriptor of a new memory file with these bytes.
absl::StatusOr<int> Fill(absl::string_view bytes, int64_t generation) {
  const int fd = memfd_create("barista", MFD_CLOEXEC);
  if (fd >= 0 && write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
    // gRPC tells two reads apart by whole seconds of this, and takes 0 for a failure.
    const timespec times[2] = {{.tv_sec = generation}, {.tv_sec = generation}};
    if (futimens(fd, times) == 0) return fd;
  }
  const int error = errno;
  if (fd >= 0) close(fd);
  return absl::ResourceExhaustedError(absl::StrCat("cannot make a file in memory: ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryFile>> MemoryFile::Create(absl::string_view bytes) {
  const absl::StatusOr<int> fd = Fill(bytes, kFirst);
  if (!fd.ok()) return fd.status();
  return std::unique_ptr<MemoryFile>(new MemoryFile(*fd));
}

MemoryFile::~MemoryFile() { close(fd_); }

absl::Status MemoryFile::Replace(absl::string_view bytes) {
  const absl::StatusOr<int> fd = Fill(bytes, ++generation_);
  if (!fd.ok()) return fd.status();
  const int moved = dup3(*fd, fd_, O_CLOEXEC);  // at once: an open of the path gives one file or the other
  close(*fd);
  return moved == fd_ ? absl::OkStatus() : absl::ResourceExhaustedError("cannot replace a file in memory");
}

std::string MemoryFile::path() const { return absl::StrCat("/proc/self/fd/", fd_); }

}  // namespace barista

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "server/store/filesystem.h"

namespace barista {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

template <class T>
T OrErrno(T result) {
  return result < 0 ? -errno : result;
}

class PosixDirectory final : public Filesystem {
 public:
  PosixDirectory(Descriptor directory, Descriptor lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}

  int Create(const std::string& name) override {
    return OrErrno(openat(directory_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  }
  int Open(const std::string& name) override {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    return OrErrno(openat(directory_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  }
  void Close(int file) override { close(file); }
  int64_t Size(int file) override {
    struct stat info;
    return fstat(file, &info) == 0 ? int64_t{info.st_size} : -errno;
  }
  ssize_t Read(int file, char* to, size_t count) override { return OrErrno(read(file, to, count)); }
  ssize_t Write(int file, absl::string_view bytes) override { return OrErrno(write(file, bytes.data(), bytes.size())); }
  int Sync(int file) override { return OrErrno(fsync(file)); }
  int SyncDirectory() override { return OrErrno(fsync(directory_.get())); }
  int Rename(const std::string& from, const std::string& to) override {
    return OrErrno(renameat(directory_.get(), from.c_str(), directory_.get(), to.c_str()));
  }
  int Link(const std::string& from, const std::string& to) override {
    return OrErrno(linkat(directory_.get(), from.c_str(), directory_.get(), to.c_str(), 0));
  }
  int Unlink(const std::string& name) override { return OrErrno(unlinkat(directory_.get(), name.c_str(), 0)); }
  int List(std::vector<std::string>& names) override {
    // A descriptor of its own: the position of a directory is shared between duplicates.
    const int fd = openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), closedir);
    if (stream == nullptr) return -ENOMEM;
    while (true) {
      errno = 0;
      const dirent* entry = readdir(stream.get());
      if (entry == nullptr) return -errno;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
  }

 private:
  Descriptor directory_, lock_;
};

int SyncParent(const Descriptor& directory) {
  const Descriptor parent(openat(directory.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return parent.get() < 0 ? -errno : OrErrno(fsync(parent.get()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Filesystem>> OpenPosixDirectory(const std::string& path) {
  const bool made = mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return absl::ErrnoToStatus(errno, "cannot make the directory");
  Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return absl::ErrnoToStatus(errno, "cannot open the directory");
  // Also of a directory that was there: who made it may have died before this. Its parent may then be closed to us.
  if (const int error = SyncParent(directory); error < 0 && made) {
    return absl::ErrnoToStatus(-error, "cannot sync the directory's parent");
  }
  Descriptor lock(openat(directory.get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (lock.get() < 0) return absl::ErrnoToStatus(errno, "cannot make or open the directory's file `lock`");
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return absl::FailedPreconditionError("another process holds the directory");
    return absl::ErrnoToStatus(errno, "cannot lock the directory's file `lock`");
  }
  return std::unique_ptr<Filesystem>(new PosixDirectory(std::move(directory), std::move(lock)));
}

}  // namespace barista

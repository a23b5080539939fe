// One directory, as the system calls that a store in it needs. Names are plain: no '/', neither "." nor "..". Each
// function is one call without a retry and returns what the call returns, or -errno: what an error means is for the
// store to say, and the filesystem of the tests (tests/store/faulty_filesystem.h) can raise every one of them.
// One thread at a time uses it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

class Filesystem {
 public:
  virtual ~Filesystem() = default;

  // A new, empty file, open for writing; -EEXIST where there is one. Mode 0600.
  virtual int Create(const std::string& name) = 0;
  // A file, open for reading; a symbolic link is not followed.
  virtual int Open(const std::string& name) = 0;
  virtual void Close(int file) = 0;
  // Bytes in a file.
  virtual int64_t Size(int file) = 0;
  // Bytes read into `to` from where the last read ended, at most `count`; 0: the end.
  virtual ssize_t Read(int file, char* to, size_t count) = 0;
  // Bytes written, maybe fewer than asked.
  virtual ssize_t Write(int file, absl::string_view bytes) = 0;
  // fsync.
  virtual int Sync(int file) = 0;
  virtual int SyncDirectory() = 0;
  // Replaces `to`.
  virtual int Rename(const std::string& from, const std::string& to) = 0;
  // A second name; -EEXIST where there is a `to`.
  virtual int Link(const std::string& from, const std::string& to) = 0;
  virtual int Unlink(const std::string& name) = 0;
  // All names but "." and "..", in any order, appended to `names`.
  virtual int List(std::vector<std::string>& names) = 0;
};

// The directory at `path`, made (mode 0700, its parent must be there) where it is not; an existing one keeps its mode.
// This process alone holds it, by flock on a file `lock` in it, until the object goes or the process ends. Errors:
// FailedPrecondition: another holds it; else the code that fits errno. They do not name the path.
absl::StatusOr<std::unique_ptr<Filesystem>> OpenPosixDirectory(const std::string& path);

}  // namespace barista

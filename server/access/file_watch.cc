#include "server/access/file_watch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "server/observe/log.h"

namespace barista {
namespace {

constexpr size_t kBytesMax = size_t{4} << 20;
constexpr absl::Duration kInterval = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const auto failed = [&](absl::string_view why) { return absl::InvalidArgumentError(absl::StrCat(path, ": ", why)); };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is no file to wait for
  if (fd < 0) return failed(std::strerror(errno));
  struct stat info {};
  std::string bytes(kBytesMax + 1, '\0');
  size_t size = 0;
  ssize_t count = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? 1 : -1;
  const bool regular = count > 0;
  while (count > 0 && size < bytes.size()) {
    count = read(fd, bytes.data() + size, bytes.size() - size);
    if (count > 0) size += static_cast<size_t>(count);
  }
  close(fd);
  if (!regular) return failed("not a regular file");
  if (count < 0) return failed("cannot be read");
  if (size > kBytesMax) return failed(absl::StrCat("more than ", kBytesMax, " bytes"));
  bytes.resize(size);
  bytes.shrink_to_fit();
  return bytes;
}

absl::StatusOr<std::vector<std::string>> ReadSmallFiles(const std::vector<std::string>& paths) {
  std::vector<std::string> contents;
  for (const std::string& path : paths) {
    absl::StatusOr<std::string> bytes = ReadSmallFile(path);
    if (!bytes.ok()) return bytes.status();
    contents.push_back(*std::move(bytes));
  }
  return contents;
}

FileWatch::FileWatch(std::vector<WatchedFiles> files, Metrics& metrics) : metrics_(metrics) {
  for (WatchedFiles& one : files) {
    const Contents taken = std::exchange(one.contents, {});
    watched_.push_back({std::move(one), taken, taken});
  }
  thread_ = std::thread([this] {
    while (!stop_.WaitForNotificationWithTimeout(kInterval)) {
      for (Watched& watched : watched_) Look(watched);
    }
  });
}

FileWatch::~FileWatch() {
  stop_.Notify();
  thread_.join();
}

void FileWatch::Look(Watched& watched) {
  const Contents before = std::exchange(watched.last, ReadSmallFiles(watched.files.paths));
  const Contents& now = watched.last;
  // Twice the same: a certificate may come a moment before its key.
  if (now != before || now == watched.decided) return;
  watched.decided = now;
  const absl::Status status = now.ok() ? watched.files.take(*now) : now.status();
  const std::string paths = absl::StrJoin(watched.files.paths, ", ");
  if (status.ok()) return LogInfo("reloaded", {{"what", watched.files.what}, {"files", paths}});
  metrics_.reload_failures(watched.files.what).Increment();
  LogError("not reloaded: what was read before holds",
           {{"what", watched.files.what}, {"files", paths}, {"message", std::string(status.message())}});
}

}  // namespace barista

// Files that are read again when they change: certificates, keys, the access file. Looks once a second and compares
// contents, since mounted secrets change by a symbolic link and times of change say little.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "server/observe/metrics.h"

namespace barista {

// The bytes of a file of at most 4 MiB. Errors: InvalidArgument naming the path.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);
// Of each of the paths, in order; the first error.
absl::StatusOr<std::vector<std::string>> ReadSmallFiles(const std::vector<std::string>& paths);

// Files that are taken together.
struct WatchedFiles {
  std::string what;  // label of barista_reload_failures_total
  std::vector<std::string> paths;
  std::vector<std::string> contents;  // as they were taken
  // Of new contents, on the watch's thread. An error is logged and counted, once for the same contents.
  std::function<absl::Status(const std::vector<std::string>& contents)> take;
};

class FileWatch {
 public:
  // `metrics` outlives it.
  FileWatch(std::vector<WatchedFiles> files, Metrics& metrics);
  ~FileWatch();

 private:
  using Contents = absl::StatusOr<std::vector<std::string>>;
  struct Watched {
    WatchedFiles files;
    Contents last;     // what the last look saw
    Contents decided;  // what was taken or refused last
  };
  void Look(Watched& watched);

  std::vector<Watched> watched_;
  Metrics& metrics_;
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace barista

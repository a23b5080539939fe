// A file that appears whole or not at all: it is written as NAME.part and renamed when all of it is on the disk.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace barista::cli {

// Not thread-safe. Every error is Unavailable and names the file and the system's reason.
class PartFile {
 public:
  explicit PartFile(const std::string& name) : name_(name), part_(name + ".part") {}
  ~PartFile();  // removes NAME.part where Commit did not succeed; NAME stays as it was
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // Makes NAME.part, empty. Before all else, and once.
  absl::Status Open();
  absl::Status Write(absl::string_view bytes);
  // Puts the file in NAME's place. Nothing is written after.
  absl::Status Commit();

 private:
  std::string name_, part_;
  int fd_ = -1;
};

}  // namespace barista::cli

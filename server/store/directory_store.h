// States as files of one directory: KEY.state. A file is written whole under a temporary name, synced, given its name,
// and the directory is synced; so a name always leads to whole bytes, also after a loss of power.
//
// A call blocks for as long as the medium takes to sync the bytes. A key that is none (state_store.h): InvalidArgument.
// What else lies in the directory is left alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/store/filesystem.h"
#include "server/store/state_store.h"

namespace barista {

class DirectoryStore final : public StateStore {
 public:
  // Takes the directory at `path` (filesystem.h: OpenPosixDirectory), sweeps what a crash left and tries to write. A
  // directory that is full opens. Errors name the path: they are for who starts the server.
  static absl::StatusOr<std::unique_ptr<DirectoryStore>> Open(const std::string& path);
  static absl::StatusOr<std::unique_ptr<DirectoryStore>> Open(std::unique_ptr<Filesystem> directory);

  absl::Status Put(const std::string& key, absl::string_view bytes, bool replace) override;
  absl::StatusOr<std::string> Get(const std::string& key, size_t bytes_max) override;
  absl::Status Delete(const std::string& key) override;
  absl::StatusOr<std::vector<std::string>> List() override;

 private:
  explicit DirectoryStore(std::unique_ptr<Filesystem> directory) : directory_(std::move(directory)) {}

  absl::Status Sweep();
  std::string NewTemporaryName();
  // A new file, synced; nothing is left of it after an error, unless removing it fails too.
  absl::Status WriteFile(const std::string& name, absl::string_view bytes);

  std::unique_ptr<Filesystem> directory_;
  int64_t files_made_ = 0;
};

}  // namespace barista

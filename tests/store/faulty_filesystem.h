// A directory in memory that behaves as badly as a real one may: it reads and writes a part of what is asked, any call
// may fail (and yet have been done), a file whose sync failed has lost its bytes for good, and a loss of power keeps of
// what was not synced whatever the seed says. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/store/filesystem.h"

namespace barista {

class FaultyFilesystem final : public Filesystem {
 public:
  explicit FaultyFilesystem(uint32_t seed) : rng_(seed) {}

  // Call number `call` from now on (0: the next) fails with this errno, and all after it where `forever`.
  void FailAt(int64_t call, int error, bool forever);
  // Whether the fault has happened.
  bool failed() const { return fault_.happened; }
  // More than these bytes in all files: ENOSPC.
  void LimitBytes(size_t bytes) { bytes_max_ = bytes; }

  // What the next process finds where this one was killed, or where the power was lost. No faults.
  std::unique_ptr<FaultyFilesystem> AfterKill() const;
  std::unique_ptr<FaultyFilesystem> AfterPowerLoss(uint32_t seed) const;

  // For what a test expects; no calls.
  std::vector<std::string> names() const;
  size_t open_files() const { return handles_.size(); }

  int Create(const std::string& name) override;
  int Open(const std::string& name) override;
  void Close(int file) override;
  int64_t Size(int file) override;
  ssize_t Read(int file, char* to, size_t count) override;
  ssize_t Write(int file, absl::string_view bytes) override;
  int Sync(int file) override;
  int SyncDirectory() override;
  int Rename(const std::string& from, const std::string& to) override;
  int Link(const std::string& from, const std::string& to) override;
  int Unlink(const std::string& name) override;
  int List(std::vector<std::string>& names) override;

 private:
  // Files are written once, from front to back.
  struct File {
    std::string bytes;
    size_t synced = 0;  // bytes that outlive a loss of power
    bool lost = false;  // a sync failed: the rest is never written
  };
  enum class Lasting { kNotYet, kYes, kUncertain };  // kUncertain: a sync of the directory failed
  // One change of the directory: `removed` (may be empty) goes, `added` (may be empty) leads to `file`; as one step.
  struct Change {
    std::string removed, added;
    int file = -1;
    Lasting lasting = Lasting::kNotYet;
  };
  struct Handle {
    int file;
    size_t read = 0;
  };
  struct Fault {
    int64_t calls_left = -1;
    int error = 0;
    bool forever = false, happened = false;
  };

  static void Apply(const Change& change, std::map<std::string, int>& names);
  // 0, or the errno that the next call must fail with.
  int NextFault();
  bool Coin() { return rng_() % 2 == 0; }
  // Makes the change and returns -error; where there is an error the change may not happen.
  int Make(Change change, int error);
  size_t bytes_used() const;

  std::mt19937 rng_;
  Fault fault_;
  size_t bytes_max_ = std::numeric_limits<size_t>::max();
  std::vector<File> files_;
  std::vector<Change> changes_;       // all since the directory was made
  std::map<std::string, int> names_;  // after all of them
  std::map<int, Handle> handles_;
  int next_handle_ = 3;
};

}  // namespace barista

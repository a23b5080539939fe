#include "tests/store/faulty_filesystem.h"

#include <errno.h>

#include <algorithm>

namespace barista {

void FaultyFilesystem::FailAt(int64_t call, int error, bool forever) {
  fault_ = {.calls_left = call, .error = error, .forever = forever};
}

int FaultyFilesystem::NextFault() {
  if (fault_.happened) return fault_.forever ? fault_.error : 0;
  if (fault_.calls_left < 0 || fault_.calls_left-- > 0) return 0;
  fault_.happened = true;
  return fault_.error;
}

std::unique_ptr<FaultyFilesystem> FaultyFilesystem::AfterKill() const {
  auto next = std::make_unique<FaultyFilesystem>(*this);
  next->fault_ = {};
  next->handles_.clear();
  return next;
}

std::unique_ptr<FaultyFilesystem> FaultyFilesystem::AfterPowerLoss(uint32_t seed) const {
  auto next = std::make_unique<FaultyFilesystem>(seed);
  for (const Change& change : changes_) {
    if (change.lasting != Lasting::kYes && next->Coin()) continue;
    next->changes_.push_back(change);
    next->changes_.back().lasting = Lasting::kYes;
    Apply(change, next->names_);
  }
  for (const File& file : files_) {
    const size_t kept = file.synced + next->rng_() % (file.bytes.size() - file.synced + 1);
    std::string bytes = file.bytes.substr(0, kept);
    if (next->Coin()) bytes.resize(file.bytes.size(), '\0');  // the length reached the medium, the bytes did not
    next->files_.push_back({.bytes = bytes, .synced = bytes.size()});
  }
  next->bytes_max_ = bytes_max_;
  return next;
}

std::vector<std::string> FaultyFilesystem::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : names_) names.push_back(name);
  return names;
}

size_t FaultyFilesystem::bytes_used() const {
  std::map<int, size_t> linked;
  for (const auto& [name, file] : names_) linked[file] = files_[file].bytes.size();
  size_t sum = 0;
  for (const auto& [file, size] : linked) sum += size;
  return sum;
}

void FaultyFilesystem::Apply(const Change& change, std::map<std::string, int>& names) {
  names.erase(change.removed);
  if (!change.added.empty()) names[change.added] = change.file;
}

int FaultyFilesystem::Make(Change change, int error) {
  if (error == 0 || Coin()) {
    Apply(change, names_);
    changes_.push_back(std::move(change));
  }
  return -error;
}

int FaultyFilesystem::Create(const std::string& name) {
  const int error = NextFault();
  if (names_.count(name) > 0) return -EEXIST;
  files_.emplace_back();
  const int file = static_cast<int>(files_.size()) - 1;
  if (Make({.added = name, .file = file}, error) < 0) return -error;
  handles_[next_handle_] = {.file = file};
  return next_handle_++;
}

int FaultyFilesystem::Open(const std::string& name) {
  if (const int error = NextFault(); error != 0) return -error;
  const auto found = names_.find(name);
  if (found == names_.end()) return -ENOENT;
  handles_[next_handle_] = {.file = found->second};
  return next_handle_++;
}

void FaultyFilesystem::Close(int file) { handles_.erase(file); }

int64_t FaultyFilesystem::Size(int file) {
  if (const int error = NextFault(); error != 0) return -error;
  return static_cast<int64_t>(files_[handles_.at(file).file].bytes.size());
}

ssize_t FaultyFilesystem::Read(int file, char* to, size_t count) {
  if (const int error = NextFault(); error != 0) return -error;
  Handle& handle = handles_.at(file);
  const std::string& bytes = files_[handle.file].bytes;
  if (count > 1 && Coin()) count = 1 + rng_() % count;
  count = std::min(count, bytes.size() - handle.read);
  bytes.copy(to, count, handle.read);
  handle.read += count;
  return static_cast<ssize_t>(count);
}

ssize_t FaultyFilesystem::Write(int file, absl::string_view bytes) {
  if (const int error = NextFault(); error != 0) return -error;
  size_t count = bytes.size();
  if (count > 1 && Coin()) count = 1 + rng_() % count;
  count = std::min(count, bytes_max_ - std::min(bytes_max_, bytes_used()));
  if (count == 0 && !bytes.empty()) return -ENOSPC;
  files_[handles_.at(file).file].bytes.append(bytes.data(), count);
  return static_cast<ssize_t>(count);
}

int FaultyFilesystem::Sync(int file) {
  File& synced = files_[handles_.at(file).file];
  const int error = NextFault();
  if (error != 0) synced.lost = true;
  if (!synced.lost) synced.synced = synced.bytes.size();
  return -error;
}

int FaultyFilesystem::SyncDirectory() {
  const int error = NextFault();
  for (Change& change : changes_) {
    if (change.lasting == Lasting::kNotYet) change.lasting = error == 0 ? Lasting::kYes : Lasting::kUncertain;
  }
  return -error;
}

int FaultyFilesystem::Rename(const std::string& from, const std::string& to) {
  const int error = NextFault();
  const auto found = names_.find(from);
  if (found == names_.end()) return -ENOENT;
  return Make({.removed = from, .added = to, .file = found->second}, error);
}

int FaultyFilesystem::Link(const std::string& from, const std::string& to) {
  const int error = NextFault();
  const auto found = names_.find(from);
  if (found == names_.end()) return -ENOENT;
  if (names_.count(to) > 0) return -EEXIST;
  return Make({.added = to, .file = found->second}, error);
}

int FaultyFilesystem::Unlink(const std::string& name) {
  const int error = NextFault();
  if (names_.count(name) == 0) return -ENOENT;
  return Make({.removed = name}, error);
}

int FaultyFilesystem::List(std::vector<std::string>& names) {
  if (const int error = NextFault(); error != 0) return -error;
  for (const auto& [name, file] : names_) names.push_back(name);
  return 0;
}

}  // namespace barista

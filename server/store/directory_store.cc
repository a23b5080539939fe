#include "server/store/directory_store.h"

#include <errno.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace barista {
namespace {

constexpr absl::string_view kSuffix = ".state";
constexpr absl::string_view kTemporary = "new~";  // no key has a ~
constexpr size_t kKeyBytesMax = 129;

bool IsKey(absl::string_view key) {
  return !key.empty() && key.size() <= kKeyBytesMax && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '@';
  });
}

std::string FileName(absl::string_view key) { return absl::StrCat(key, kSuffix); }

absl::Status NoKey() { return absl::InvalidArgumentError("a state's key is 1 to 129 of a-z A-Z 0-9 - _ . @"); }

absl::Status NotFound() { return absl::NotFoundError("there is no state of that key"); }

// `error`: -errno.
absl::Status Failed(absl::string_view what, int error) {
  const bool full = error == -ENOSPC || error == -EDQUOT;
  return absl::Status(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
                      absl::ErrnoToStatus(-error, absl::StrCat("the directory of states: cannot ", what)).message());
}

// The whole of `bytes`, in as many calls as it takes. 0 or -errno.
int WriteAll(Filesystem& directory, int file, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = directory.Write(file, bytes);
    if (written == -EINTR) continue;
    if (written < 0) return static_cast<int>(written);
    if (written == 0) return -EIO;
    bytes.remove_prefix(written);
  }
  return 0;
}

// Fills `bytes`, or shortens it where the file ends before. 0 or -errno.
int ReadAll(Filesystem& directory, int file, std::string& bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t count = directory.Read(file, bytes.data() + at, bytes.size() - at);
    if (count == -EINTR) continue;
    if (count < 0) return static_cast<int>(count);
    if (count == 0) break;
    at += count;
  }
  bytes.resize(at);
  return 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryStore>> DirectoryStore::Open(const std::string& path) {
  const auto named = [&path](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  };
  absl::StatusOr<std::unique_ptr<Filesystem>> directory = OpenPosixDirectory(path);
  if (!directory.ok()) return named(directory.status());
  absl::StatusOr<std::unique_ptr<DirectoryStore>> store = Open(*std::move(directory));
  if (!store.ok()) return named(store.status());
  return store;
}

absl::StatusOr<std::unique_ptr<DirectoryStore>> DirectoryStore::Open(std::unique_ptr<Filesystem> directory) {
  std::unique_ptr<DirectoryStore> store(new DirectoryStore(std::move(directory)));
  if (absl::Status swept = store->Sweep(); !swept.ok()) return swept;
  const std::string trial = store->NewTemporaryName();
  const absl::Status written = store->WriteFile(trial, "x");
  if (written.ok()) store->directory_->Unlink(trial);
  if (!written.ok() && !absl::IsResourceExhausted(written)) return written;
  return store;
}

absl::Status DirectoryStore::Put(const std::string& key, absl::string_view bytes, bool replace) {
  if (!IsKey(key)) return NoKey();
  const std::string temporary = NewTemporaryName(), name = FileName(key);
  if (absl::Status written = WriteFile(temporary, bytes); !written.ok()) return written;
  const int named = replace ? directory_->Rename(temporary, name) : directory_->Link(temporary, name);
  // Where this fails, the next Open sweeps.
  if (!replace || named < 0) directory_->Unlink(temporary);
  if (!replace && named == -EEXIST) return absl::AlreadyExistsError("there is a state of that key already");
  if (named < 0) return Failed("name a new file", named);
  if (const int error = directory_->SyncDirectory(); error < 0) return Failed("sync the directory", error);
  return absl::OkStatus();
}

absl::StatusOr<std::string> DirectoryStore::Get(const std::string& key, size_t bytes_max) {
  if (!IsKey(key)) return NoKey();
  const int file = directory_->Open(FileName(key));
  if (file == -ENOENT) return NotFound();
  if (file < 0) return Failed("open a file", file);
  std::string bytes;
  const int64_t size = directory_->Size(file);
  int error = size < 0 ? static_cast<int>(size) : 0;
  if (error == 0) {
    bytes.resize(std::min<uint64_t>(size, bytes_max));
    error = ReadAll(*directory_, file, bytes);
  }
  directory_->Close(file);
  if (error < 0) return Failed("read a file", error);
  return bytes;
}

absl::Status DirectoryStore::Delete(const std::string& key) {
  if (!IsKey(key)) return NoKey();
  const int error = directory_->Unlink(FileName(key));
  if (error == -ENOENT) return NotFound();
  if (error < 0) return Failed("remove a file", error);
  if (const int synced = directory_->SyncDirectory(); synced < 0) return Failed("sync the directory", synced);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> DirectoryStore::List() {
  std::vector<std::string> names, keys;
  if (const int error = directory_->List(names); error < 0) return Failed("list the directory", error);
  for (absl::string_view name : names) {
    if (absl::ConsumeSuffix(&name, kSuffix) && IsKey(name)) keys.emplace_back(name);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

absl::Status DirectoryStore::Sweep() {
  std::vector<std::string> names;
  if (const int error = directory_->List(names); error < 0) return Failed("list the directory", error);
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kTemporary)) continue;
    if (const int error = directory_->Unlink(name); error < 0) return Failed("remove an unfinished file", error);
  }
  return absl::OkStatus();
}

// Each is new, so that a file that could not be removed is in nobody's way.
std::string DirectoryStore::NewTemporaryName() { return absl::StrCat(kTemporary, ++files_made_); }

absl::Status DirectoryStore::WriteFile(const std::string& name, absl::string_view bytes) {
  const int file = directory_->Create(name);
  if (file < 0) return Failed("make a file", file);
  absl::Status status;
  if (const int error = WriteAll(*directory_, file, bytes); error < 0) {
    status = Failed("write a file", error);
  } else if (const int failed = directory_->Sync(file); failed < 0) {
    // Not tried again: the system may have dropped the bytes, and would then say that all is well.
    status = Failed("sync a file", failed);
  }
  directory_->Close(file);
  if (!status.ok()) directory_->Unlink(name);
  return status;
}

}  // namespace barista

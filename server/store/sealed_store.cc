#include "server/store/sealed_store.h"

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

std::string Identity(absl::string_view purpose, absl::string_view key) {
  return absl::StrCat("barista ", purpose, " ", key);
}

std::string OpenOrAsItLies(const Sealer& sealer, std::string bytes, const std::string& identity) {
  absl::StatusOr<std::string> opened = sealer.Open(bytes, identity);
  return opened.ok() ? *std::move(opened) : std::move(bytes);
}

}  // namespace

absl::Status SealedStore::Put(const std::string& key, absl::string_view bytes, bool replace) {
  return store_->Put(key, sealer_.Seal(bytes, Identity(purpose_, key)), replace);
}

absl::StatusOr<std::string> SealedStore::Get(const std::string& key, size_t bytes_max) {
  // All of it, whatever is asked for: one tag covers the whole.
  absl::StatusOr<std::string> bytes = store_->Get(key, std::string::npos);
  if (!bytes.ok()) return bytes;
  std::string opened = OpenOrAsItLies(sealer_, *std::move(bytes), Identity(purpose_, key));
  if (opened.size() > bytes_max) opened.resize(bytes_max);
  return opened;
}

absl::StatusOr<SessionRegistry::Claimed> SealedRegistry::Claim(const std::string& key) {
  absl::StatusOr<Claimed> claimed = registry_->Claim(key);
  if (claimed.ok()) claimed->bytes = OpenOrAsItLies(sealer_, std::move(claimed->bytes), Identity("sessions", key));
  return claimed;
}

absl::Status SealedRegistry::Park(const std::string& key, uint64_t epoch, absl::string_view bytes) {
  return registry_->Park(key, epoch, sealer_.Seal(bytes, Identity("sessions", key)));
}

}  // namespace barista

// A store whose bytes are encrypted where they lie: whoever reads the directory or Redis reads nothing, and whoever
// alters them, or moves them to another key, is noticed.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/store/sealer.h"
#include "server/store/session_registry.h"
#include "server/store/state_store.h"

namespace barista {

// Bytes that do not open come back as they lie: they are none of ours, and their reader says so.
class SealedStore final : public StateStore {
 public:
  // purpose: what is kept, such as "snapshots"; bytes of another purpose or key do not open.
  SealedStore(std::unique_ptr<StateStore> store, const Sealer& sealer, std::string purpose)
      : store_(std::move(store)), sealer_(sealer), purpose_(std::move(purpose)) {}

  absl::Status Put(const std::string& key, absl::string_view bytes, bool replace) override;
  absl::StatusOr<std::string> Get(const std::string& key, size_t bytes_max) override;
  absl::Status Delete(const std::string& key) override { return store_->Delete(key); }
  absl::StatusOr<std::vector<std::string>> List() override { return store_->List(); }

 private:
  const std::unique_ptr<StateStore> store_;
  const Sealer sealer_;
  const std::string purpose_;
};

class SealedRegistry final : public SessionRegistry {
 public:
  SealedRegistry(std::unique_ptr<SessionRegistry> registry, const Sealer& sealer)
      : registry_(std::move(registry)), sealer_(sealer) {}

  absl::StatusOr<uint64_t> Create(const std::string& key) override { return registry_->Create(key); }
  absl::StatusOr<Claimed> Claim(const std::string& key) override;
  absl::Status Confirm(const std::string& key, uint64_t epoch) override { return registry_->Confirm(key, epoch); }
  absl::Status Park(const std::string& key, uint64_t epoch, absl::string_view bytes) override;
  absl::Status Forget(const std::string& key, uint64_t epoch) override { return registry_->Forget(key, epoch); }
  absl::StatusOr<std::vector<std::string>> Renew(absl::Span<const Held> held) override {
    return registry_->Renew(held);
  }
  absl::StatusOr<std::vector<std::string>> TakeWanted() override { return registry_->TakeWanted(); }
  absl::StatusOr<std::vector<std::string>> ListParked() override { return registry_->ListParked(); }

 private:
  const std::unique_ptr<SessionRegistry> registry_;
  const Sealer sealer_;
};

}  // namespace barista

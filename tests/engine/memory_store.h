// A store in memory that fails when told to.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/store/state_store.h"

namespace barista {

class MemoryStore final : public StateStore {
 public:
  absl::Status Put(const std::string& key, absl::string_view bytes, bool) override {
    if (!failure.ok()) return failure;
    states[key] = std::string(bytes);
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Get(const std::string& key, size_t) override {
    if (!failure.ok()) return failure;
    const auto it = states.find(key);
    if (it == states.end()) return absl::NotFoundError("no such key");
    return it->second;
  }
  absl::Status Delete(const std::string& key) override {
    return states.erase(key) > 0 ? absl::OkStatus() : absl::NotFoundError("no such key");
  }
  absl::StatusOr<std::vector<std::string>> List() override { return std::vector<std::string>(); }

  std::map<std::string, std::string> states;
  absl::Status failure;
};

}  // namespace barista

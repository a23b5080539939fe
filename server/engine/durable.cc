#include "server/engine/durable.h"

#include <algorithm>
#include <utility>

namespace barista {

void DurablePast::Add(std::shared_ptr<const KeptSnapshot> snapshot) {
  absl::MutexLock lock(&mutex_);
  snapshots_.erase(std::remove_if(snapshots_.begin(), snapshots_.end(), [](const auto& s) { return s->gone.load(); }),
                   snapshots_.end());
  snapshots_.push_back(std::move(snapshot));
}

int64_t DurablePast::tokens() const {
  absl::MutexLock lock(&mutex_);
  int64_t tokens = 0;
  for (const auto& snapshot : snapshots_) {
    if (!snapshot->gone) tokens = std::max(tokens, snapshot->tokens);
  }
  return tokens;
}

std::shared_ptr<DurablePast> DurablePast::Until(int64_t tokens) const {
  auto left = std::make_shared<DurablePast>();
  absl::MutexLock lock(&mutex_);
  for (const auto& snapshot : snapshots_) {
    if (snapshot->tokens <= tokens) left->Add(snapshot);
  }
  return left;
}

std::shared_ptr<const KeptSnapshot> KeptSnapshots::Written(const std::string& key, int64_t tokens) {
  Gone(key);
  return Read(key, tokens);
}

std::shared_ptr<const KeptSnapshot> KeptSnapshots::Read(const std::string& key, int64_t tokens) {
  std::shared_ptr<KeptSnapshot>& snapshot = snapshots_[key];
  // Another server that writes to the same store may have replaced it.
  if (snapshot == nullptr || snapshot->tokens != tokens) {
    if (snapshot != nullptr) snapshot->gone = true;
    snapshot = std::make_shared<KeptSnapshot>(tokens);
  }
  return snapshot;
}

void KeptSnapshots::Gone(const std::string& key) {
  const auto it = snapshots_.find(key);
  if (it == snapshots_.end()) return;
  it->second->gone = true;
  snapshots_.erase(it);
}

}  // namespace barista

#include "server/engine/session_homes.h"

namespace barista {

SessionHomes::Place SessionHomes::Hold(const std::string& key, int engine) {
  absl::MutexLock lock(&mutex_);
  const auto [it, added] = homes_.try_emplace(key, Home{.engine = engine});
  if (added) ++expected_[engine];
  ++it->second.holders;
  return {it->second.engine, it->second.exists, std::make_shared<const Held>(*this, key)};
}

void SessionHomes::LetGo(const std::string& key) {
  absl::MutexLock lock(&mutex_);
  const auto it = homes_.find(key);
  if (--it->second.holders > 0 || it->second.exists) return;
  --expected_[it->second.engine];
  homes_.erase(it);
}

void SessionHomes::Began(const std::string& key, int engine) {
  absl::MutexLock lock(&mutex_);
  const auto [it, added] = homes_.try_emplace(key, Home{.engine = engine});
  if (!added) --expected_[engine];
  it->second.exists = true;
  ++sessions_[engine];
}

void SessionHomes::Ended(const std::string& key) {
  absl::MutexLock lock(&mutex_);
  const auto it = homes_.find(key);
  --sessions_[it->second.engine];
  it->second.exists = false;
  if (it->second.holders > 0) {
    ++expected_[it->second.engine];
  } else {
    homes_.erase(it);
  }
}

std::shared_ptr<const void> SessionHomes::KeepStill() {
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<const void> still = still_.lock();
  if (still == nullptr) still_ = still = std::make_shared<const int>();
  return still;
}

bool SessionHomes::Move(const std::string& key, int to, int holders) {
  absl::MutexLock lock(&mutex_);
  Home& home = homes_.find(key)->second;
  if (home.holders != holders || !home.exists || !still_.expired()) return false;
  --sessions_[home.engine];
  ++sessions_[to];
  home.engine = to;
  return true;
}

int SessionHomes::Find(const std::string& key) const {
  absl::MutexLock lock(&mutex_);
  const auto it = homes_.find(key);
  return it == homes_.end() ? -1 : it->second.engine;
}

int64_t SessionHomes::sessions(int engine) const {
  absl::MutexLock lock(&mutex_);
  return sessions_[engine];
}

int64_t SessionHomes::expected(int engine) const {
  absl::MutexLock lock(&mutex_);
  return expected_[engine];
}

}  // namespace barista

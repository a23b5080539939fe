// The engine's dealings with tenants: their limits, whose turn it is, what of their prompts waits.
#include <algorithm>
#include <utility>

#include "server/engine/engine.h"

namespace barista {

void Engine::SetTenants(TenantPolicy policy) {
  {
    absl::MutexLock lock(&mutex_);
    load_.SetPolicy(policy);
  }
  PostInternal([this, policy = std::move(policy)] { tenants_.SetPolicy(policy); });
}

std::deque<ActiveCall>::iterator Engine::NextWaiting() {
  return std::min_element(waiting_.begin(), waiting_.end(), [](const ActiveCall& a, const ActiveCall& b) {
    return a.tenant->slots_by_weight() < b.tenant->slots_by_weight();  // of equal ones the oldest
  });
}

void Engine::CountQueued() {
  absl::MutexLock lock(&mutex_);
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    const bool reads = active->replay == nullptr;
    const int64_t left = reads ? static_cast<int64_t>(active->prompt().size()) - active->prompt_done : 0;
    if (left == active->queued) continue;
    load_.AddQueued(active->request().tenant, left - active->queued);
    active->queued = left;
  }
}

}  // namespace barista

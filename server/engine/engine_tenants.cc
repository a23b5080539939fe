// The engine's dealings with tenants: their limits, whose turn it is, what of their prompts waits.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/engine/engine.h"
#include "server/engine/error.h"

namespace barista {

void Engine::SetTenants(TenantPolicy policy) {
  group_.tenants.SetPolicy(policy);
  PostInternal([this, policy = std::move(policy)] { tenants_.SetPolicy(policy); });
}

std::deque<ActiveCall>::iterator Engine::NextWaiting() {
  return std::min_element(waiting_.begin(), waiting_.end(), [](const ActiveCall& a, const ActiveCall& b) {
    return a.tenant->slots_by_weight() < b.tenant->slots_by_weight();  // of equal ones the oldest
  });
}

void Engine::CountQueued() {
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    const bool reads = active->replay == nullptr;
    const int64_t left = reads ? static_cast<int64_t>(active->prompt().size()) - active->prompt_done : 0;
    if (left == active->queued) continue;
    group_.tenants.AddQueued(active->request().tenant, left - active->queued);
    active->queued = left;
  }
}

void Engine::RefuseHopeless() {
  const int64_t kept = SlotsKept(), left = slots_.total() - kept;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const int32_t wanted = static_cast<int32_t>(it->choices.size());
    if (wanted <= left) {
      ++it;
      continue;
    }
    if (MoveTo(group_.WithHope(wanted, *this), &*it, nullptr)) {
      it = waiting_.erase(it);
      continue;
    }
    metrics_.admission_refusals(absl::AsciiStrToLower(Name(ErrorReason::kSessionsMax))).Increment();
    End(*it, MakeError({.reason = ErrorReason::kSessionsMax, .retry_after_seconds = 1},
                       absl::StrCat(kept, " of ", slots_.total(), " slots are kept by sessions, and ", wanted,
                                    wanted == 1 ? " is" : " are", " wanted")));
    it = waiting_.erase(it);
  }
}

}  // namespace barista

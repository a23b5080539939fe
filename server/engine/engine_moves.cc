// From one engine of a server to another: calls that would wait here for a slot while another has one free, with their
// sessions.
#include <algorithm>
#include <utility>

#include "server/engine/engine.h"

namespace barista {

Engine* EngineGroup::WithFree(int64_t slots, const Engine& other) const {
  Engine* best = nullptr;
  int64_t most = slots - 1;
  for (Engine* engine : engines) {
    if (engine == &other || engines.size() == 1) continue;
    const Vacancy vacancy = engine->vacancy();
    if (!vacancy.open || vacancy.free <= most || vacancy.sessions_left < 1) continue;
    most = vacancy.free;
    best = engine;
  }
  return best;
}

Vacancy Engine::vacancy() const {
  Vacancy vacancy = {.slots = slots_.total(),
                     .free = -group_.homes.expected(options_.number),
                     .sessions_left = tiers_.sessions_max() - group_.homes.sessions(options_.number) -
                                      group_.homes.expected(options_.number)};
  absl::MutexLock lock(&mutex_);
  vacancy.free += slots_free_ - slots_asked_;
  vacancy.streams = streams_;
  vacancy.open = !draining_;
  return vacancy;
}

void Engine::CountVacancy() {
  int64_t asked = static_cast<int64_t>(arriving_.size());
  for (const ActiveCall& active : waiting_) asked += static_cast<int64_t>(active.choices.size());
  absl::MutexLock lock(&mutex_);
  for (const ActiveCall& active : submitted_) asked += static_cast<int64_t>(active.choices.size());
  slots_free_ = slots_.available();
  slots_asked_ = asked + coming_over_;
}

bool Engine::MoveOn(ActiveCall& active, Session* session) {
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return false;
  }
  const int64_t slots = static_cast<int64_t>(active.choices.size());
  Engine* to = group_.WithFree(slots, *this);
  if (to == nullptr) return false;
  {
    absl::MutexLock lock(&to->mutex_);
    if (to->draining_) return false;
    if (session != nullptr && !group_.homes.Move(session->key, to->options_.number)) return false;
    to->calls_.insert(active.call);
    to->streams_ += slots;
    to->coming_over_ += slots;
    to->slots_asked_ += slots;
    if (session == nullptr) ++to->waiting_count_;
  }
  const auto moved = std::make_shared<std::unique_ptr<Session>>();  // a std::function's captures can be copied
  if (session != nullptr) {
    session->wanted = active.waits_for_session = false;
    *moved = sessions_.Release(*session);
    metrics_.session_moves_total.Increment();
  }
  active.brought = nullptr;
  tenants_.Leave(*std::exchange(active.tenant, nullptr), clock_.Now());
  active.call->RunsIn(*to);
  {
    absl::MutexLock lock(&mutex_);
    calls_.erase(active.call);
    streams_ -= slots;
    if (session == nullptr) --waiting_count_;
  }
  // In order with what else comes for the session.
  to->PostInternal([to, slots, moved, call = std::make_shared<ActiveCall>(std::move(active))] {
    {
      absl::MutexLock lock(&to->mutex_);
      to->coming_over_ -= slots;
    }
    if (*moved != nullptr) to->sessions_.Receive(std::move(*moved));
    to->Take(std::move(*call));
  });
  return true;
}

void Engine::AskElsewhere(const std::string& key) {
  const int home = group_.homes.Find(key);
  if (home < 0 || home == options_.number) return;
  Engine* engine = group_.engines[home];
  engine->PostInternal([engine, key] { engine->tiers_.HandOver(key); });
}

}  // namespace barista

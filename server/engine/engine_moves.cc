// From one engine of a server to another: calls that would wait here for a slot while another has one free, with their
// sessions; and sessions that fork here beyond those that fit.
#include <algorithm>
#include <optional>
#include <utility>

#include "server/engine/engine.h"

namespace barista {

Vacancy EngineGroup::VacancyOf(const Engine& engine) { return engine.vacancy(); }

Engine* EngineGroup::WithFree(int64_t slots, const Engine& other) const {
  return Best([&](const Engine& engine, const Vacancy& v) -> std::optional<int64_t> {
    if (&engine == &other || !v.open || v.free < slots || v.sessions_left < 1) return std::nullopt;
    return v.free;
  });
}

Engine* EngineGroup::WithRoom(const Engine& other) const {
  return Best([&](const Engine& engine, const Vacancy& v) -> std::optional<int64_t> {
    if (&engine == &other || !v.open || v.sessions_left < 1) return std::nullopt;
    return v.sessions_left;
  });
}

Engine* EngineGroup::WithHope(int64_t slots, const Engine& other) const {
  return Best([&](const Engine& engine, const Vacancy& v) -> std::optional<int64_t> {
    if (&engine == &other || !v.open || v.for_calls < slots) return std::nullopt;
    return 0;
  });
}

Vacancy Engine::vacancy() const {
  Vacancy vacancy = {.slots = slots_.total(),
                     .free = -group_.homes.expected(options_.number),
                     .sessions_left = tiers_.sessions_max() - group_.homes.sessions(options_.number) -
                                      group_.homes.expected(options_.number)};
  absl::MutexLock lock(&mutex_);
  vacancy.free += slots_free_ - slots_asked_;
  vacancy.for_calls = slots_for_calls_;
  vacancy.streams = streams_;
  vacancy.open = !draining_;
  return vacancy;
}

void Engine::CountVacancy() {
  if (group_.engines.size() == 1) return;  // nobody compares
  int64_t asked = static_cast<int64_t>(arriving_.size());
  for (const ActiveCall& active : waiting_) asked += static_cast<int64_t>(active.choices.size());
  absl::MutexLock lock(&mutex_);
  for (const ActiveCall& active : submitted_) asked += static_cast<int64_t>(active.choices.size());
  slots_free_ = slots_.available();
  slots_asked_ = asked + coming_slots_;
  slots_for_calls_ = slots_.total() - SlotsKept();
}

int64_t Engine::SlotsKept() const {
  const int64_t below = tiers_.sessions_max() - slots_.total();  // sessions that need no slot
  return std::clamp<int64_t>(sessions_.size() - below, 0, slots_.total());
}

bool Engine::MoveTo(Engine* to, ActiveCall* active, Session* session) {
  if (to == nullptr) return false;
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return false;
  }
  const int64_t slots = active == nullptr ? 0 : static_cast<int64_t>(active->choices.size());
  {
    absl::MutexLock lock(&to->mutex_);
    if (to->draining_) return false;
    const int holders = active == nullptr ? 0 : 1;
    if (session != nullptr && !group_.homes.Move(session->key, to->options_.number, holders)) return false;
    if (active != nullptr) to->calls_.insert(active->call);
    to->streams_ += slots;
    to->slots_asked_ += slots;
    to->coming_slots_ += slots;
    ++to->coming_over_;
  }
  struct Moved {  // a std::function's captures can be copied
    std::unique_ptr<Session> session;
    std::optional<ActiveCall> call;
  };
  const auto moved = std::make_shared<Moved>();
  if (session != nullptr) {
    session->wanted = false;
    moved->session = sessions_.Release(*session);
    metrics_.session_moves_total.Increment();
  }
  if (active != nullptr) {
    active->waits_for_session = false;
    active->brought = nullptr;
    tenants_.Leave(*std::exchange(active->tenant, nullptr), clock_.Now());
    active->call->RunsIn(*to);
    absl::MutexLock lock(&mutex_);
    calls_.erase(active->call);
    streams_ -= slots;
    moved->call = std::move(*active);
  }
  // In order with what else comes for the session.
  to->PostInternal([to, slots, moved] {
    {
      absl::MutexLock lock(&to->mutex_);
      to->coming_slots_ -= slots;
      --to->coming_over_;
    }
    if (moved->session != nullptr) to->sessions_.Receive(std::move(moved->session));
    if (moved->call) to->Take(*std::move(moved->call));
  });
  return true;
}

void Engine::MoveSurplus() {
  for (int64_t over = sessions_.size() - tiers_.sessions_max(); over > 0; --over) {
    Session* session = sessions_.AtRest();
    if (session == nullptr || !MoveTo(group_.WithRoom(*this), nullptr, session)) return;
  }
}

void Engine::AskElsewhere(const std::string& key) {
  const int home = group_.homes.Find(key);
  if (home < 0 || home == options_.number) return;
  Engine* engine = group_.engines[home];
  engine->PostInternal([engine, key] { engine->tiers_.HandOver(key); });
}

}  // namespace barista

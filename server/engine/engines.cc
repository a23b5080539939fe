#include "server/engine/engines.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/time/clock.h"

namespace barista {

Engine& Engines::ForSession() const {
  return *group_.Best([](const Engine&, const Vacancy& v) {
    return std::optional(
        std::make_tuple(v.open, v.free > 0 && v.sessions_left > 0, v.free > 0 ? v.free : v.sessions_left));
  });
}

// Of those that have the slots free, the one with the least to do; else the one whose slots come free soonest.
Engine& Engines::ForCall(int64_t slots) const {
  return *group_.Best([slots](const Engine&, const Vacancy& v) {
    const double load = static_cast<double>(v.streams) / static_cast<double>(std::max<int64_t>(v.slots, 1));
    return std::optional(
        std::make_tuple(v.open, v.for_calls >= slots, v.slots >= slots, v.free >= slots, -load, v.free));
  });
}

Engines::Home Engines::HomeOf(const std::string& key) const {
  const int known = group_.homes.Find(key);
  SessionHomes::Place place = group_.homes.Hold(key, known >= 0 ? known : ForSession().number());
  return {group_.engines[place.engine], place.engine, std::move(place.held)};
}

void Engines::Adopt(const std::vector<Engine::StoredSession>& stored) {
  for (const Engine::StoredSession& session : stored) {
    Engine* most = group_.Best([](const Engine&, const Vacancy& v) { return std::optional(v.sessions_left); });
    most->Adopt(session);
  }
}

void Engines::Start() {
  for (Engine* engine : group_.engines) engine->Start();
}

void Engines::Stop() {
  Drain();  // first: from here on nothing goes from one to another
  for (Engine* engine : group_.engines) engine->Stop();
}

absl::StatusOr<std::shared_ptr<Call>> Engines::Submit(Request request, std::function<void()> on_events) {
  if (request.session.empty()) return ForCall(request.n).Submit(std::move(request), std::move(on_events));
  Home home = HomeOf(request.session);
  return home.engine->Submit(std::move(request), std::move(on_events), std::move(home.held));
}

absl::Status Engines::PostFind(const std::string& key, std::function<void(const absl::StatusOr<Session*>&)> work) {
  Home home = HomeOf(key);
  return home.engine->PostFind(
      key, [held = std::move(home.held), work = std::move(work)](const auto& session) { work(session); });
}

absl::Status Engines::PostFor(const std::string& key, std::function<void(SessionTable&, const absl::Status&)> work) {
  Home home = HomeOf(key);
  return home.engine->PostFor(
      key, [held = std::move(home.held), work = std::move(work)](SessionTable& sessions, const absl::Status& brought) {
        work(sessions, brought);
      });
}

absl::Status Engines::PostNew(
    const std::string& key,
    std::function<absl::Status(SessionTable&, const absl::StatusOr<std::vector<uint64_t>>&)> work) {
  Home home = HomeOf(key);
  return home.engine->PostNew(
      {key}, [held = std::move(home.held), work = std::move(work)](SessionTable& sessions, const auto& epochs) {
        return work(sessions, epochs);
      });
}

absl::Status Engines::PostAt(const std::string& key, std::function<void(SessionTable&)> work) {
  Home home = HomeOf(key);
  return home.engine->Post(
      [held = std::move(home.held), work = std::move(work)](SessionTable& sessions) { work(sessions); });
}

absl::Status Engines::PostForFork(const std::string& key, const std::vector<std::string>& children,
                                  std::function<void(SessionTable&, const absl::Status&)> work) {
  Home home = HomeOf(key);
  std::vector<Held> held = {std::move(home.held)};
  for (const std::string& child : children) {
    SessionHomes::Place place = group_.homes.Hold(child, home.number);
    if (place.engine != home.number) return place.exists ? SessionExists(child) : SessionBusy(child);
    held.push_back(std::move(place.held));
  }
  return home.engine->PostFor(
      key, [held = std::move(held), work = std::move(work)](SessionTable& sessions, const absl::Status& brought) {
        work(sessions, brought);
      });
}

absl::Status Engines::PostEach(std::function<void(SessionTable&, bool last)> work) {
  // Each posts to the next; what has begun goes on while the server drains.
  std::function<void(SessionTable&)> next;
  const std::shared_ptr<const void> still = group_.homes.KeepStill();
  for (size_t i = group_.engines.size(); i-- > 0;) {
    const bool last = next == nullptr;
    Engine* after = last ? nullptr : group_.engines[i + 1];
    next = [work, last, after, still, next = std::move(next)](SessionTable& sessions) {
      work(sessions, last);
      if (!last) after->PostAlways(next);
    };
  }
  return group_.engines[0]->Post(std::move(next));
}

void Engines::SetTenants(const TenantPolicy& policy) {
  for (Engine* engine : group_.engines) engine->SetTenants(policy);
}

void Engines::Drain() {
  for (Engine* engine : group_.engines) engine->Drain();
}

bool Engines::idle() const {
  return std::all_of(group_.engines.begin(), group_.engines.end(), [](const Engine* e) { return e->idle(); });
}

std::vector<Engine*> Engines::Working() const {
  std::vector<Engine*> working;
  for (Engine* engine : group_.engines) {
    if (!engine->failed()) working.push_back(engine);
  }
  return working;
}

int64_t Engines::sessions() const {
  int64_t sum = 0;
  for (const Engine* engine : Working()) sum += engine->sessions();
  return sum;
}

int64_t Engines::sessions_max() const {
  int64_t sum = 0;
  for (const Engine* engine : group_.engines) sum += engine->sessions_max();
  return sum;
}

void Engines::CutOff() {
  bool idle = false;
  while (!idle) {  // a call may have been on its way from one to another
    idle = true;
    for (Engine* engine : Working()) engine->CutOff();
    for (const Engine* engine : Working()) idle = idle && engine->idle();
  }
}

int64_t Engines::ParkSessions(TimePoint until, const Clock& clock) {
  for (Engine* engine : Working()) engine->Park();
  while (true) {
    int64_t left = 0;
    for (Engine* engine : Working()) {
      engine->Wake();
      left += engine->not_parked();
    }
    if (left == 0 || clock.Now() >= until) return left;
    absl::SleepFor(absl::Milliseconds(2));
  }
}

}  // namespace barista

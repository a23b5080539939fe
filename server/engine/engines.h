// The engines of one server, each with a device of its own, as one. New sessions and calls without one go where slots
// are free, what concerns a session to the engine that has it; limits, lists and drains are the server's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/engine/engine.h"
#include "server/engine/engine_group.h"

namespace barista {

// Any thread, unless a method says otherwise.
class Engines {
 public:
  // All engines of the group are there and have not started; it outlives this.
  explicit Engines(EngineGroup& group) : group_(group) {}

  // Before Start. Each goes where most sessions fit.
  void Adopt(const std::vector<Engine::StoredSession>& stored);
  void Start();
  void Stop();  // of each engine in turn

  // As Engine's.
  absl::StatusOr<std::shared_ptr<Call>> Submit(Request request, std::function<void()> on_events);
  absl::Status PostFind(const std::string& key, std::function<void(const absl::StatusOr<Session*>&)> work);
  absl::Status PostFor(const std::string& key, std::function<void(SessionTable&, const absl::Status& brought)> work);
  absl::Status PostNew(
      const std::string& key,
      std::function<absl::Status(SessionTable&, const absl::StatusOr<std::vector<uint64_t>>& epochs)> work);
  // `work` runs in the engine whose session `key` is, or would be.
  absl::Status PostAt(const std::string& key, std::function<void(SessionTable&)> work);
  // As PostFor, once the names of `children` belong to that engine too. Errors: kSessionExists, kDraining;
  // kSessionBusy: a call asks another engine for a child, which is not there yet.
  absl::Status PostForFork(const std::string& key, const std::vector<std::string>& children,
                           std::function<void(SessionTable&, const absl::Status& brought)> work);
  // `work` runs in each engine, in one after another; `last` in the last. No session moves meanwhile.
  absl::Status PostEach(std::function<void(SessionTable&, bool last)> work);

  void SetTenants(const TenantPolicy& policy);
  void Drain();
  bool idle() const;  // whether no call waits or runs
  int64_t sessions() const;
  int64_t sessions_max() const;
  // After Drain: ends what still runs, as Engine::CutOff, but in engines that have failed.
  void CutOff();
  // When no call runs: sends every session to its store until all are there or `until`. How many are not. Those of
  // engines that have failed are lost and do not count.
  int64_t ParkSessions(TimePoint until, const Clock& clock);

 private:
  using Held = std::shared_ptr<const SessionHomes::Held>;
  struct Home {
    Engine* engine;
    int number;
    Held held;
  };
  Home HomeOf(const std::string& key) const;  // and holds the name there
  Engine& ForSession() const;                 // where a new one goes
  Engine& ForCall(int64_t slots) const;       // where a call without one goes
  std::vector<Engine*> Working() const;

  EngineGroup& group_;
};

}  // namespace barista

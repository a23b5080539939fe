// Where the states of idle sessions lie: a slot on the device, the host's memory, a directory, the registry that
// several servers share (Redis). The longest unused go down when their places are wanted, and come back when they are
// used.
//
// Every tier has a number of sessions that fit, and no more sessions are made than fit in all, so there is always a
// way: what runs is never preempted, and nothing is dropped. Copies and files are the work of three workers (device,
// directory, registry), and the engine's steps go on meanwhile; while a worker has a state in hand (Session::moving)
// the session is where it was. The engine's thread only, but for the workers' parts.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "server/engine/clock.h"
#include "server/engine/session.h"
#include "server/engine/worker.h"
#include "server/observe/metrics.h"
#include "server/store/session_registry.h"
#include "server/store/state_store.h"

namespace barista {

struct TierOptions {
  int64_t host_sessions = 0;       // that fit in the host's memory
  int64_t directory_sessions = 0;  // in `directory`
  int64_t registry_sessions = 0;   // in `registry`
  StateStore* directory = nullptr;
  SessionRegistry* registry = nullptr;
  // Gives a session's bytes to another server: what ParkAll does, unless there is a registry. Empty: there is no peer.
  std::function<absl::Status(const std::string& key, absl::string_view bytes)> hand_over;
  const SessionFormat* format = nullptr;  // required with any of them
  // Other servers ask for a session that the table lacks: another engine may have it. The engine's own.
  std::function<void(const std::string& key)> elsewhere;
  // Each its own, or all the same in tests. Required.
  Worker* device_worker = nullptr;
  Worker* directory_worker = nullptr;
  Worker* registry_worker = nullptr;
  double lease_seconds = 10;  // of the registry
};

class Tiers {
 public:
  // `post` runs work on the engine's thread between two steps, also while it drains; any thread.
  Tiers(const TierOptions& options, SlotTable& slots, StatePool& pool, Metrics& metrics, const Clock& clock,
        std::function<void(std::function<void()>)> post);

  int64_t sessions_max() const { return sessions_max_; }  // in all places

  // For SessionTable.
  void SetTable(SessionTable* table) { table_ = table; }
  void Began(Session& session);
  void Joined(Session& session);              // it comes from another engine, at rest in `tier`
  void Left(Session& session);                // to another engine
  void SetTier(Session& session, Tier tier);  // the last one used there
  void Ended(Session& session);

  // `work` runs once the session's state is in memory (device or host; an empty one's is) and no worker has it in hand,
  // at once where that is so, or with the reason why it is not. A session that the table lacks may be known to the
  // registry; without one it is kSessionNotFound at once. It may have been deleted by then: look it up again.
  void Bring(const std::string& key, std::function<void(const absl::Status&)> work);
  // Names for new sessions: held by this server, in the order of `keys`, or none. At once without a registry.
  void Reserve(std::vector<std::string> keys,
               std::function<void(const absl::StatusOr<std::vector<uint64_t>>& epochs)> work);
  // Names that were reserved in vain.
  void Unreserve(const std::vector<std::string>& keys, const std::vector<uint64_t>& epochs);

  // True: the session has a slot and is at rest. Else it is on its way, or waits for a slot: then `slots_wanted` grows.
  bool BringToSlot(Session& session, int32_t& slots_wanted);
  // Sends idle sessions down until `slots_wanted` slots are free or about to be, and keeps the tiers within their
  // numbers. coming_up: sessions in the host's memory that wait for a slot. Once a step.
  void Balance(int32_t slots_wanted, int64_t coming_up);
  // Idle sessions that the tiers below the device have room for.
  int64_t room_below() const;
  // Whether a slot may come free without a call's end: a session is on its way down, or could go.
  bool CanMakeRoom(int64_t coming_up) const;
  // Leases, sessions that other servers ask for. Once a step, and every 20 ms.
  void Tick();
  // Another server asks for the session.
  void HandOver(const std::string& key);
  // Of those that nobody uses. Null: none.
  Session* LongestUnused(Tier tier);
  // Work that workers have in hand, which must end before the engine does.
  bool working() const { return moves_ > 0 || pulse_running_; }
  // Whether time alone makes a difference: Tick is wanted soon.
  bool ticking() const { return options_.registry != nullptr; }

  // Drain: sends every idle session to the registry, or to the peer, or where neither is or works to the directory, and
  // says how many are not there yet; names that are being reserved count. Once a step.
  int64_t ParkAll();

  int64_t count(Tier tier) const { return static_cast<int64_t>(tiers_[static_cast<int>(tier)].size()); }

 private:
  static constexpr int kTriesMax = 40;  // of a session that another server holds: two seconds

  using Order = std::list<Session*>;
  Order& order(Tier tier) { return tiers_[static_cast<int>(tier)]; }
  void BringToMemory(Session& session, std::function<void(const absl::Status&)> work);

  void StartDown(Session& session);                    // device -> host
  void StartUp(Session& session, SlotLease lease);     // host -> device
  void StartWrite(Session& session, Tier to);          // host -> directory or registry
  void StartRead(Session& session);                    // directory or registry -> host
  void StartHandOver(Session& session);                // host -> peer
  void StartRegister(Session& session);                // directory -> registry
  void Finish(Session& session, absl::Status status);  // of any move: whoever waited is told
  // On their workers. `epoch`, `unsure`: where the session was claimed.
  absl::StatusOr<LabelledSession> ReadDirectory(const std::string& key) const;
  absl::StatusOr<LabelledSession> ReadRegistry(const std::string& key, uint64_t& epoch, bool& unsure) const;
  void Written(Session& session, Tier to, const absl::Status& status);
  void Arrived(Session& session, absl::StatusOr<LabelledSession> read, uint64_t epoch, bool unsure);
  void Unsure(Session& session);  // the registry is asked again whether the session is held
  void Ask(Session& session);
  absl::Status UnsureError(const Session& session) const;
  void Lost(Session& session);  // its epoch is not the newest: another server has the name
  void LostNonFinite(Session& session);
  void End(Session& session, const absl::Status& why);  // of a move that found that there is no such session
  void Pause(Tier tier);
  bool paused(Tier tier) const;
  bool HasRoom(Tier tier) const;
  SessionLabel LabelOf(const Session& session) const;
  using Gone = std::function<void(const absl::Status&)>;  // may be empty
  void EndStored(const std::string& key, Tier tier, uint64_t epoch, Gone gone);
  void AfterDirectory(std::function<void()> work);  // on its worker, once all before is done; at once without one
  // In the registry, where `epoch` is of one; again and again until it answers. `gone` is told how it went, or `before`
  // where that is an error. Any thread.
  void Forget(const std::string& key, uint64_t epoch, const absl::Status& before, Gone gone);

  const TierOptions options_;
  SlotTable& slots_;
  StatePool& pool_;
  Metrics& metrics_;
  const Clock& clock_;
  const std::function<void(std::function<void()>)> post_;
  SessionTable* table_ = nullptr;
  int64_t sessions_max_;
  std::array<Order, kTiers> tiers_;  // each: the longest unused first
  std::array<TimePoint, kTiers> paused_until_{};
  int32_t leaving_slots_ = 0;  // slots whose sessions are on their way down
  int64_t moves_ = 0;
  int64_t writing_ = 0,
          registering_ = 0;  // of these, sessions that are on their way out of the host's memory; the directory
  std::vector<std::string> retries_;  // sessions that another server holds and was asked for
  std::vector<std::string> handing_over_;
  std::vector<std::string> unsure_;
  std::vector<SessionRegistry::Held> forgetting_;  // ended here, and the registry did not answer
  bool peer_failed_ = false;
  bool parking_ = false;  // sessions go down to leave, not to make room
  TimePoint next_renewal_{}, next_look_{};
  bool pulse_running_ = false;
};

}  // namespace barista

// A session that outlives its calls, and the table of all of them. The engine's thread only.
//
// Where a session's state lies and how it gets from one place to another is the business of Tiers (tiers.h); the table
// makes, finds, copies and ends sessions.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/durable.h"
#include "server/engine/engine_group.h"
#include "server/engine/past.h"
#include "server/engine/sequence.h"
#include "server/engine/session_bytes.h"

namespace barista {

// Where a session's state lies. Each place has an order of use.
enum class Tier : uint8_t { kEmpty, kDevice, kHost, kDirectory, kRegistry };
inline constexpr int kTiers = 5;

struct Session {
  std::string key;  // TENANT@ID, or the id alone: unique in the table and in every store
  WallTime made, used;
  Past past;
  std::shared_ptr<DurablePast> durable = std::make_shared<DurablePast>();  // of `past`: another where that is cut

  Tier tier = Tier::kEmpty;
  Sequence idle;                            // kDevice: while no call runs on it
  Sequence* running = nullptr;              // kDevice: the call's
  std::shared_ptr<const SessionCopy> copy;  // kHost
  int64_t stored_tokens = 0;                // of its past, where its state lies in a store
  uint64_t epoch = 0;                       // of the registry

  // Of Tiers.
  bool moving = false;   // a worker has its state in hand
  bool wanted = false;   // a call waits until it is in a slot: no other call may have it
  bool deleted = false;  // while moving: it ends when the move does
  bool unknown = false;  // the registry has not said yet whether there is such a session
  bool unsure = false;   // the registry did not answer: it may have the session's state; nobody advances it
  int tries = 0;         // of the registry, for a session that another server holds
  std::vector<std::function<void(const absl::Status&)>> waiting;  // for its state to be in memory
  std::function<void(const absl::Status&)> gone;                  // once it has ended, in every store; may be empty
  std::list<Session*>::iterator order;

  bool busy() const { return running != nullptr || wanted; }
  const Sequence& sequence() const { return running != nullptr ? *running : idle; }  // kEmpty, kDevice
  int64_t tokens() const;
  void CutPastAfter(int64_t tokens);  // what came after is forgotten
  void ForgetPast();                  // it begins at what the state is now
  bool in_memory() const { return tier == Tier::kEmpty || tier == Tier::kDevice || tier == Tier::kHost; }
};

// The id in a key, for names and messages.
std::string SessionIdOf(absl::string_view key);
std::string TenantOf(absl::string_view key);
absl::Status SessionNotFound(absl::string_view key);
absl::Status SessionExists(absl::string_view key);
absl::Status SessionBusy(absl::string_view key);

class Tiers;

class SessionTable {
 public:
  // All outlive it. rewind_tokens_max: of Past. engine: whose table it is.
  SessionTable(SlotTable& slots, StatePool& pool, const StateLayout& layout, Tiers& tiers, int64_t rewind_tokens_max,
               EngineGroup& group, int engine);
  ~SessionTable();

  // Errors: kSessionExists, kSessionsMax, kTenantLimit. epoch: of the registry, where there is one.
  absl::StatusOr<Session*> Create(const std::string& key, uint64_t epoch = 0);
  // Errors: kSessionNotFound.
  absl::StatusOr<Session*> Find(const std::string& key) const;
  // Up to `count` sessions of a tenant with ids above `after`, in order.
  std::vector<Session*> List(const std::string& tenant, const std::string& after, int64_t count) const;
  int64_t Count(const std::string& tenant) const;
  // Errors: kSessionNotFound, kSessionBusy. Where there is none, `gone` runs once no store has it any more (at the
  // earliest before Delete returns), or cannot be made to say so: kStoreFailed; kSessionElsewhere: another server has
  // taken it, or a new one has its name.
  absl::Status Delete(
      const std::string& key, std::function<void(const absl::Status&)> gone = [](const absl::Status&) {});
  // Copies of `key` as it is between two steps, all or none. `repeat_parent`: with the same stream of random numbers.
  // Errors: those of Find and Create; kSessionBusy where the state is not in memory (any more); kNonFinite.
  absl::StatusOr<std::vector<Session*>> Fork(const std::string& key, absl::Span<const std::string> children,
                                             bool repeat_parent, absl::Span<const uint64_t> epochs = {});

  // To the host's memory and back. Errors: those of Find, and kNonFinite; of Create. The state is in memory.
  absl::StatusOr<std::shared_ptr<const SessionCopy>> Export(const std::string& key) const;
  absl::StatusOr<Session*> Import(const std::string& key, std::shared_ptr<const SessionCopy> copy, uint64_t epoch = 0);
  // Puts an existing session to the copy; its past begins there. Errors: kSessionNotFound, kSessionBusy; the latter
  // also while its state moves.
  absl::StatusOr<Session*> Replace(const std::string& key, std::shared_ptr<const SessionCopy> copy);

  // A session whose state lies in a store. Errors: those of Create.
  absl::StatusOr<Session*> Adopt(const std::string& key, Tier tier, int64_t tokens, WallTime made, WallTime used);

  // `work` runs once no worker has the session's state in hand, at once where none has, or with the reason why it is
  // not.
  void WhenStill(const std::string& key, std::function<void(const absl::Status&)> work);
  // As Tiers' of the same name.
  void Bring(const std::string& key, std::function<void(const absl::Status&)> work);
  // The same; kSessionExists at once for names that the table has or that are being reserved. Where `work` returns an
  // error, the names are given up again.
  void Reserve(const std::vector<std::string>& keys,
               std::function<absl::Status(const absl::StatusOr<std::vector<uint64_t>>& epochs)> work);

  // A call takes the sequence of a session in a slot, and gives it back when it ends. `running` stays where it is
  // meanwhile.
  void Take(Session& session, Sequence& running);
  void GiveBack(Session& session);
  // It ends, whatever it does.
  void Drop(Session& session);

  // A session that nobody uses, empty or in the host's memory, the longest unused; null: none.
  Session* AtRest();
  // To another engine's table, whose home it is already: a session at rest, empty or in the host's memory.
  std::unique_ptr<Session> Release(Session& session);
  void Receive(std::unique_ptr<Session> session);

  // A checkpoint of the session as it is now. Nothing where none are kept.
  void Checkpoint(Session& session, Past::Kind kind, const std::string& mark = "");
  int64_t rewind_tokens_max() const { return states_.on() ? rewind_tokens_max_ : 0; }

  int64_t size() const { return static_cast<int64_t>(sessions_.size()); }
  template <class F>
  void ForEach(F f) {
    for (auto& [key, session] : sessions_) f(*session);
  }

 private:
  friend class Tiers;
  bool MayBeFree(const std::string& key) const;
  absl::Status MakeFree(const std::string& key, uint64_t epoch);
  Session* Add(const std::string& key, uint64_t epoch);
  std::shared_ptr<const SessionCopy> CopyOf(const Session& session) const;
  void EraseLeaving(Session& session);
  void PutCopy(Session& session, std::shared_ptr<const SessionCopy> copy);

  SlotTable& slots_;
  StatePool& pool_;
  const StateLayout& layout_;
  StateCache& states_;
  Tiers& tiers_;
  const int64_t rewind_tokens_max_;
  TenantLoad& load_;
  SessionHomes& homes_;
  const int engine_;
  std::map<std::string, std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Session>> leaving_;  // deleted while moving
  std::set<std::string> reserving_;                // names that the registry is asked for
};

}  // namespace barista

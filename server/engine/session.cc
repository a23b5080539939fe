#include "server/engine/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/engine/tiers.h"

namespace barista {
namespace {

// A stream of random numbers of a fork's own: a function of its parent's and of how many forks came before. The highest
// bit keeps it away from the choices of calls without a session, which count from 0. (splitmix64.)
uint64_t ForkedDraws(uint64_t parent, uint32_t ordinal) {
  uint64_t x = parent + 0x9e3779b97f4a7c15 * (uint64_t{ordinal} + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return (x ^ (x >> 31)) | (uint64_t{1} << 63);
}

absl::Status NonFiniteState(absl::string_view key) {
  return NonFiniteError(absl::StrCat("sessions/", SessionIdOf(key)), "its state is kept nowhere");
}

}  // namespace

std::string SessionIdOf(absl::string_view key) { return std::string(key.substr(key.find('@') + 1)); }

std::string TenantOf(absl::string_view key) {
  const size_t at = key.find('@');
  return std::string(at == absl::string_view::npos ? "" : key.substr(0, at));
}

absl::Status SessionNotFound(absl::string_view key) {
  return MakeError({.reason = ErrorReason::kSessionNotFound},
                   absl::StrCat("there is no session sessions/", SessionIdOf(key)));
}

absl::Status SessionExists(absl::string_view key) {
  return MakeError({.reason = ErrorReason::kSessionExists},
                   absl::StrCat("there is a session sessions/", SessionIdOf(key), " already"));
}

absl::Status SessionBusy(absl::string_view key) {
  return MakeError({.reason = ErrorReason::kSessionBusy},
                   absl::StrCat("a call is running on sessions/", SessionIdOf(key)));
}

int64_t Session::tokens() const {
  if (tier == Tier::kHost) return copy->tokens();
  return tier == Tier::kDirectory || tier == Tier::kRegistry ? stored_tokens : sequence().tokens();
}

void Session::CutPastAfter(int64_t tokens) {
  past.CutAfter(tokens);
  durable = durable->Until(tokens);
}

void Session::ForgetPast() {
  past = Past();
  durable = std::make_shared<DurablePast>();
}

SessionTable::SessionTable(SlotTable& slots, StatePool& pool, const StateLayout& layout, Tiers& tiers,
                           int64_t rewind_tokens_max, EngineGroup& group, int engine)
    : slots_(slots),
      pool_(pool),
      layout_(layout),
      states_(group.states),
      tiers_(tiers),
      rewind_tokens_max_(rewind_tokens_max),
      load_(group.tenants),
      homes_(group.homes),
      engine_(engine) {}

SessionTable::~SessionTable() = default;

absl::StatusOr<Session*> SessionTable::Create(const std::string& key, uint64_t epoch) {
  if (absl::Status free = MakeFree(key, epoch); !free.ok()) return free;
  if (absl::Status room = load_.EnterSessions(TenantOf(key), 1); !room.ok()) return room;
  Session* session = Add(key, epoch);
  if (std::optional<SlotLease> lease = slots_.Acquire()) {  // else it gets one when it is first used
    session->idle.lease = *std::move(lease);
    tiers_.SetTier(*session, Tier::kDevice);
  }
  return session;
}

absl::StatusOr<Session*> SessionTable::Find(const std::string& key) const {
  const auto it = sessions_.find(key);
  if (it == sessions_.end() || it->second->unknown) return SessionNotFound(key);
  return it->second.get();
}

std::vector<Session*> SessionTable::List(const std::string& tenant, const std::string& after, int64_t count) const {
  const std::string prefix = absl::StrCat(tenant, "@");
  std::vector<Session*> found;
  for (auto it = sessions_.upper_bound(absl::StrCat(prefix, after)); it != sessions_.end() && count > 0; ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    if (it->second->unknown) continue;
    found.push_back(it->second.get());
    --count;
  }
  return found;
}

int64_t SessionTable::Count(const std::string& tenant) const {
  // '@' is followed by 'A' in ASCII: the end of the tenant's range.
  return std::distance(sessions_.lower_bound(absl::StrCat(tenant, "@")),
                       sessions_.lower_bound(absl::StrCat(tenant, "A")));
}

absl::Status SessionTable::Delete(const std::string& key, std::function<void(const absl::Status&)> gone) {
  absl::StatusOr<Session*> found = Find(key);
  if (!found.ok()) return found.status();
  Session& session = **found;
  if (session.busy()) return SessionBusy(key);
  session.gone = std::move(gone);
  Drop(session);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Session*>> SessionTable::Fork(const std::string& key, absl::Span<const std::string> children,
                                                         bool repeat_parent, absl::Span<const uint64_t> epochs) {
  absl::StatusOr<Session*> found = Find(key);
  if (!found.ok()) return found.status();
  Session& parent = **found;
  if (!parent.in_memory()) return SessionBusy(key);  // it left while names were reserved
  for (size_t i = 0; i < children.size(); ++i) {
    if (absl::Status free = MakeFree(children[i], epochs.empty() ? 0 : epochs[i]); !free.ok()) return free;
  }
  Sequence* from = parent.tier == Tier::kHost ? nullptr : parent.running != nullptr ? parent.running : &parent.idle;
  const uint64_t parent_draws = from != nullptr ? from->draws : parent.copy->draws;
  uint32_t forks = from != nullptr ? from->forks : parent.copy->forks;
  const bool too_few_slots = parent.tier == Tier::kDevice && slots_.available() < static_cast<int64_t>(children.size());
  std::shared_ptr<const SessionCopy> copy;  // of children that get no slot
  if (parent.tier == Tier::kHost || too_few_slots) copy = CopyOf(parent);
  if (copy != nullptr && !copy->finite) return NonFiniteState(key);
  if (absl::Status room = load_.EnterSessions(TenantOf(key), static_cast<int64_t>(children.size())); !room.ok())
    return room;
  std::vector<Session*> made;
  for (size_t i = 0; i < children.size(); ++i) {
    Session* child = Add(children[i], epochs.empty() ? 0 : epochs[i]);
    child->past = parent.past;
    made.push_back(child);
    const uint64_t draws = repeat_parent ? parent_draws : ForkedDraws(parent_draws, forks++);
    if (parent.tier == Tier::kEmpty) {
      child->idle.draws = draws;
      continue;
    }
    std::optional<SlotLease> lease;
    if (parent.tier == Tier::kDevice) lease = slots_.AcquireCopy(from->lease);
    if (lease) {
      SetWithoutState(CopyWithoutState(*from), child->idle);
      child->idle.lease = *std::move(lease);
      child->idle.draws = draws;
      child->idle.forks = 0;
      tiers_.SetTier(*child, Tier::kDevice);
      continue;
    }
    auto own = std::make_shared<SessionCopy>(*copy);
    own->draws = draws;
    own->forks = 0;
    child->copy = std::move(own);
    tiers_.SetTier(*child, Tier::kHost);
  }
  if (from != nullptr) {
    from->forks = forks;
  } else {
    auto counted = std::make_shared<SessionCopy>(*parent.copy);
    counted->forks = forks;
    parent.copy = std::move(counted);
  }
  return made;
}

std::shared_ptr<const SessionCopy> SessionTable::CopyOf(const Session& session) const {
  if (session.tier == Tier::kHost) return session.copy;
  if (session.tier != Tier::kEmpty) return std::make_shared<SessionCopy>(CopyWithState(session.sequence(), pool_));
  auto copy = std::make_shared<SessionCopy>(CopyWithoutState(session.sequence()));
  copy->state = std::make_shared<const std::string>(FreshState(layout_));
  return copy;
}

absl::StatusOr<std::shared_ptr<const SessionCopy>> SessionTable::Export(const std::string& key) const {
  absl::StatusOr<Session*> session = Find(key);
  if (!session.ok()) return session.status();
  std::shared_ptr<const SessionCopy> copy = CopyOf(**session);
  if (!copy->finite) return NonFiniteState(key);
  return copy;
}

absl::StatusOr<Session*> SessionTable::Import(const std::string& key, std::shared_ptr<const SessionCopy> copy,
                                              uint64_t epoch) {
  if (absl::Status free = MakeFree(key, epoch); !free.ok()) return free;
  if (absl::Status room = load_.EnterSessions(TenantOf(key), 1); !room.ok()) return room;
  Session* session = Add(key, epoch);
  PutCopy(*session, std::move(copy));
  return session;
}

absl::StatusOr<Session*> SessionTable::Replace(const std::string& key, std::shared_ptr<const SessionCopy> copy) {
  absl::StatusOr<Session*> found = Find(key);
  if (!found.ok()) return found;
  Session& session = **found;
  if (session.busy() || session.moving) return SessionBusy(key);
  session.ForgetPast();
  PutCopy(session, std::move(copy));
  return &session;
}

void SessionTable::PutCopy(Session& session, std::shared_ptr<const SessionCopy> copy) {
  if (session.idle.lease.slot() < 0) {
    if (std::optional<SlotLease> lease = slots_.Acquire()) session.idle.lease = *std::move(lease);
  }
  if (session.idle.lease.slot() < 0) {  // it waits in the host's memory until it is used
    session.copy = std::move(copy);
    tiers_.SetTier(session, Tier::kHost);
    return;
  }
  pool_.Upload(session.idle.lease.slot(), copy->state->data());
  SetWithoutState(*copy, session.idle);
  session.copy = nullptr;
  tiers_.SetTier(session, Tier::kDevice);
}

absl::StatusOr<Session*> SessionTable::Adopt(const std::string& key, Tier tier, int64_t tokens, WallTime made,
                                             WallTime used) {
  if (sessions_.count(key) > 0) return SessionExists(key);
  if (absl::Status room = load_.EnterFound(TenantOf(key)); !room.ok()) return room;
  Session* session = Add(key, 0);
  session->stored_tokens = tokens;
  session->made = made;
  session->used = used;
  tiers_.SetTier(*session, tier);
  return session;
}

void SessionTable::WhenStill(const std::string& key, std::function<void(const absl::Status&)> work) {
  const auto it = sessions_.find(key);
  if (it == sessions_.end()) return work(SessionNotFound(key));
  it->second->moving ? it->second->waiting.push_back(std::move(work)) : work(absl::OkStatus());
}

void SessionTable::Bring(const std::string& key, std::function<void(const absl::Status&)> work) {
  tiers_.Bring(key, std::move(work));
}

void SessionTable::Reserve(const std::vector<std::string>& keys,
                           std::function<absl::Status(const absl::StatusOr<std::vector<uint64_t>>&)> work) {
  for (const std::string& key : keys) {
    // The registry would give this server's own session a second time.
    if (reserving_.count(key) > 0 || !MayBeFree(key)) return static_cast<void>(work(SessionExists(key)));
  }
  reserving_.insert(keys.begin(), keys.end());
  tiers_.Reserve(keys, [this, keys, work = std::move(work)](const absl::StatusOr<std::vector<uint64_t>>& epochs) {
    for (const std::string& key : keys) reserving_.erase(key);
    const absl::Status status = work(epochs);
    if (epochs.ok() && !status.ok()) tiers_.Unreserve(keys, *epochs);
  });
}

void SessionTable::Take(Session& session, Sequence& running) {
  running = std::move(session.idle);
  session.idle = Sequence();
  session.running = &running;
  session.past.BeginCall();
}

void SessionTable::GiveBack(Session& session) {
  session.idle = std::move(*session.running);
  *session.running = Sequence();
  session.running = nullptr;
  session.used = std::chrono::system_clock::now();
  tiers_.SetTier(session, Tier::kDevice);  // the last one used
}

void SessionTable::Drop(Session& session) {
  session.past = Past();
  const auto it = sessions_.find(session.key);
  std::unique_ptr<Session> owned = std::move(it->second);
  sessions_.erase(it);
  load_.LeaveSession(TenantOf(owned->key));
  homes_.Ended(owned->key);
  tiers_.Ended(*owned);
  if (!owned->moving) return;
  owned->deleted = true;
  leaving_.push_back(std::move(owned));
}

std::unique_ptr<Session> SessionTable::Release(Session& session) {
  const auto it = sessions_.find(session.key);
  std::unique_ptr<Session> released = std::move(it->second);
  sessions_.erase(it);
  tiers_.Left(*released);
  return released;
}

void SessionTable::Receive(std::unique_ptr<Session> session) {
  tiers_.Joined(*session);
  Session& received = *session;
  sessions_.emplace(received.key, std::move(session));
  int32_t slots_wanted = 0;
  if (slots_.available() > 0) tiers_.BringToSlot(received, slots_wanted);
}

Session* SessionTable::AtRest() {
  for (const Tier tier : {Tier::kEmpty, Tier::kHost}) {
    if (Session* session = tiers_.LongestUnused(tier)) return session;
  }
  return nullptr;
}

void SessionTable::EraseLeaving(Session& session) {
  leaving_.erase(std::find_if(leaving_.begin(), leaving_.end(), [&](const auto& s) { return s.get() == &session; }));
}

void SessionTable::Checkpoint(Session& session, Past::Kind kind, const std::string& mark) {
  if (!states_.on()) return;
  session.past.Keep(
      kind, mark, session.tokens(), [&] { return CopyOf(session); }, rewind_tokens_max_, states_);
}

// What lies in the registry may be another server's by now, or gone.
bool SessionTable::MayBeFree(const std::string& key) const {
  const auto it = sessions_.find(key);
  if (it == sessions_.end()) return true;
  const Session& session = *it->second;
  return session.tier == Tier::kRegistry && !session.moving && session.waiting.empty();
}

// epoch > 0: the registry says that there is no such session.
absl::Status SessionTable::MakeFree(const std::string& key, uint64_t epoch) {
  const auto it = sessions_.find(key);
  if (it == sessions_.end()) return absl::OkStatus();
  if (epoch == 0 || !MayBeFree(key)) return SessionExists(key);
  Drop(*it->second);
  return absl::OkStatus();
}

Session* SessionTable::Add(const std::string& key, uint64_t epoch) {
  auto session = std::make_unique<Session>();
  session->key = key;
  session->epoch = epoch;
  session->made = session->used = std::chrono::system_clock::now();
  Session* added = session.get();
  tiers_.Began(*added);
  homes_.Began(key, engine_);
  sessions_.emplace(key, std::move(session));
  return added;
}

}  // namespace barista

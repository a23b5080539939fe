#include "server/engine/session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {
namespace {

absl::Status Exists(const std::string& id) {
  return MakeError({.reason = ErrorReason::kSessionExists},
                   absl::StrCat("there is a session sessions/", id, " already"));
}

absl::Status Busy(const std::string& id) {
  return MakeError({.reason = ErrorReason::kSessionBusy}, absl::StrCat("a call is running on sessions/", id));
}

}  // namespace

absl::StatusOr<const Session*> SessionTable::Create(const std::string& id) {
  if (sessions_.count(id) > 0) return Exists(id);
  if (absl::Status room = CheckRoom(1); !room.ok()) return room;
  return Add(id);
}

absl::StatusOr<const Session*> SessionTable::Find(const std::string& id) const { return Get(id); }

std::vector<const Session*> SessionTable::List(const std::string& after, int64_t count) const {
  std::vector<const Session*> found;
  for (auto it = sessions_.upper_bound(after); it != sessions_.end() && count > 0; ++it, --count) {
    found.push_back(it->second.get());
  }
  return found;
}

absl::Status SessionTable::Delete(const std::string& id) {
  absl::StatusOr<Session*> session = Get(id);
  if (!session.ok()) return session.status();
  if ((*session)->running != nullptr) return Busy(id);
  sessions_.erase(id);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<const Session*>> SessionTable::Fork(const std::string& id,
                                                               absl::Span<const std::string> children) {
  absl::StatusOr<Session*> parent = Get(id);
  if (!parent.ok()) return parent.status();
  for (const std::string& child : children) {
    if (sessions_.count(child) > 0) return Exists(child);
  }
  if (absl::Status room = CheckRoom(static_cast<int32_t>(children.size())); !room.ok()) return room;
  const Sequence& from = (*parent)->sequence();
  from.lease.AssertOwner();
  std::vector<const Session*> made;
  for (const std::string& child : children) {
    Session* session = Add(child);
    pool_.Copy(session->idle.lease.slot(), from.lease.slot());
    session->idle.position = from.position;
    session->idle.pending = from.pending;
    session->idle.counts = from.counts;
    session->idle.decoded = from.decoded;
    made.push_back(session);
  }
  return made;
}

absl::StatusOr<SessionCopy> SessionTable::Export(const std::string& id) const {
  absl::StatusOr<Session*> session = Get(id);
  if (!session.ok()) return session.status();
  const Sequence& from = (*session)->sequence();
  from.lease.AssertOwner();
  SessionCopy copy = {from.position, from.pending, from.counts.OldestFirst(), from.decoded,
                      std::string(layout_.slot_bytes(), '\0')};
  pool_.Download(from.lease.slot(), copy.state.data());
  return copy;
}

absl::StatusOr<const Session*> SessionTable::Import(const std::string& id, const SessionCopy& copy) {
  const absl::StatusOr<const Session*> created = Create(id);
  if (!created.ok()) return created;
  Sequence& to = sessions_.at(id)->idle;
  pool_.Upload(to.lease.slot(), copy.state.data());
  to.position = copy.position;
  to.pending = copy.pending;
  to.counts = TokenCounts::FromOldestFirst(copy.counts);
  to.decoded = copy.decoded;
  return created;
}

absl::StatusOr<Session*> SessionTable::Take(const std::string& id, Sequence& running) {
  absl::StatusOr<Session*> session = Get(id);
  if (!session.ok()) return session;
  if ((*session)->running != nullptr) return Busy(id);
  running = std::move((*session)->idle);
  (*session)->running = &running;
  return session;
}

void SessionTable::GiveBack(Session& session) {
  session.idle = std::move(*session.running);
  session.running = nullptr;
  session.used = std::chrono::system_clock::now();
}

void SessionTable::Drop(Session& session) { sessions_.erase(std::string(session.id)); }

absl::StatusOr<Session*> SessionTable::Get(const std::string& id) const {
  const auto it = sessions_.find(id);
  if (it != sessions_.end()) return it->second.get();
  return MakeError({.reason = ErrorReason::kSessionNotFound}, absl::StrCat("there is no session sessions/", id));
}

absl::Status SessionTable::CheckRoom(int32_t sessions) const {
  if (sessions <= slots_.available()) return absl::OkStatus();
  return MakeError({.reason = ErrorReason::kSessionsMax, .retry_after_seconds = 1},
                   absl::StrCat(slots_.available(), " of ", slots_.total(), " slots are free, and ", sessions,
                                sessions == 1 ? " is" : " are", " wanted"));
}

Session* SessionTable::Add(const std::string& id) {
  auto session = std::make_unique<Session>();
  session->id = id;
  session->idle.lease = *slots_.Acquire();
  session->created = session->used = std::chrono::system_clock::now();
  Session* added = session.get();
  sessions_.emplace(id, std::move(session));
  return added;
}

}  // namespace barista

// The part of Tiers that speaks with the registry about names and leases.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/engine/store_error.h"
#include "server/engine/tiers.h"

namespace barista {
namespace {

constexpr std::chrono::milliseconds kLook{50};  // between two looks at what other servers want

}  // namespace

void Tiers::Bring(const std::string& key, std::function<void(const absl::Status&)> work) {
  const auto known = table_->sessions_.find(key);
  if (known != table_->sessions_.end()) return BringToMemory(*known->second, std::move(work));
  if (options_.registry == nullptr) return work(SessionNotFound(key));
  if (absl::Status room = table_->load_.EnterFound(TenantOf(key)); !room.ok()) return work(room);
  Session* session = table_->Add(key, 0);
  session->unknown = true;
  SetTier(*session, Tier::kRegistry);
  BringToMemory(*session, std::move(work));
}

void Tiers::Reserve(std::vector<std::string> keys,
                    std::function<void(const absl::StatusOr<std::vector<uint64_t>>&)> work) {
  if (options_.registry == nullptr) return work(std::vector<uint64_t>(keys.size(), 0));
  ++moves_;
  options_.registry_worker->Run([this, keys = std::move(keys), work = std::move(work)] {
    std::vector<uint64_t> epochs;
    absl::Status status;
    for (const std::string& key : keys) {
      const absl::StatusOr<uint64_t> epoch = options_.registry->Create(key);
      if (!epoch.ok()) {
        const std::string name = absl::StrCat("sessions/", SessionIdOf(key));
        status = absl::IsAlreadyExists(epoch.status()) ? SessionExists(key) : StoreError(name, epoch.status());
        break;
      }
      epochs.push_back(*epoch);
    }
    if (!status.ok()) {
      for (size_t i = 0; i < epochs.size(); ++i) options_.registry->Forget(keys[i], epochs[i]).IgnoreError();
    }
    absl::StatusOr<std::vector<uint64_t>> result = std::move(epochs);
    if (!status.ok()) result = status;
    post_([this, work, result = std::move(result)] {
      --moves_;
      work(result);
    });
  });
}

void Tiers::Unreserve(const std::vector<std::string>& keys, const std::vector<uint64_t>& epochs) {
  for (size_t i = 0; i < keys.size(); ++i) EndStored(keys[i], Tier::kEmpty, epochs[i], {});
}

void Tiers::Forget(const std::string& key, uint64_t epoch, const absl::Status& before, Gone gone) {
  if (epoch == 0) {
    return post_([this, before, gone = std::move(gone)] {
      --moves_;
      if (gone) gone(before);
    });
  }
  options_.registry_worker->Run([this, key, epoch, before, gone = std::move(gone)] {
    const absl::Status forgotten = options_.registry->Forget(key, epoch);
    post_([this, key, epoch, before, forgotten, gone] {
      --moves_;
      if (absl::IsUnavailable(forgotten)) forgetting_.push_back({key, epoch});
      if (!gone) return;
      const std::string name = absl::StrCat("sessions/", SessionIdOf(key));
      if (!before.ok() || forgotten.ok()) return gone(before);
      gone(absl::IsAborted(forgotten)
               ? MakeError({.reason = ErrorReason::kSessionElsewhere, .retry_after_seconds = 0.1},
                           absl::StrCat("another server has taken ", name, " meanwhile, or a new one has its name"))
               : StoreError(name, forgotten));
    });
  });
}

absl::Status Tiers::UnsureError(const Session& session) const {
  return MakeError({.reason = ErrorReason::kStoreFailed, .retry_after_seconds = 1},
                   absl::StrCat("sessions/", SessionIdOf(session.key),
                                " waits for Redis to say whether this server still holds it"));
}

void Tiers::Unsure(Session& session) {
  if (!session.deleted) {
    session.unsure = true;
    unsure_.push_back(session.key);
  }
  const auto waiting = std::exchange(session.waiting, {});
  const absl::Status status = UnsureError(session);
  Finish(session, absl::OkStatus());
  for (const auto& work : waiting) work(status);
}

void Tiers::Ask(Session& session) {
  session.moving = true;
  ++moves_;
  options_.registry_worker->Run([this, &session, key = session.key, epoch = session.epoch] {
    absl::Status status = options_.registry->Confirm(key, epoch);
    post_([this, &session, status = std::move(status)] {
      if (absl::IsUnavailable(status)) return Unsure(session);
      session.unsure = false;
      absl::IsAborted(status) ? Lost(session) : Finish(session, absl::OkStatus());
    });
  });
}

void Tiers::Tick() {
  if (options_.registry == nullptr) return;
  const TimePoint now = clock_.Now();
  for (const std::string& key : std::exchange(handing_over_, {})) HandOver(key);
  if (pulse_running_ || now < next_look_) return;
  for (const std::string& key : std::exchange(retries_, {})) {
    const auto it = table_->sessions_.find(key);
    if (it == table_->sessions_.end()) continue;
    Session& session = *it->second;  // another call may have brought it meanwhile
    if (session.tier == Tier::kRegistry && !session.moving && !session.waiting.empty()) StartRead(session);
  }
  for (const SessionRegistry::Held& ended : std::exchange(forgetting_, {})) {
    EndStored(ended.key, Tier::kEmpty, ended.epoch, {});
  }
  for (const std::string& key : std::exchange(unsure_, {})) {
    const auto it = table_->sessions_.find(key);
    if (it == table_->sessions_.end() || !it->second->unsure) continue;
    it->second->moving ? unsure_.push_back(key) : Ask(*it->second);
  }
  std::vector<SessionRegistry::Held> held;
  const bool renews = now >= next_renewal_;
  if (renews) {
    table_->ForEach([&](const Session& session) {
      if (session.epoch > 0 && !session.unsure && session.tier != Tier::kRegistry)
        held.push_back({session.key, session.epoch});
    });
    next_renewal_ = now + std::chrono::duration_cast<TimePoint::duration>(Seconds(options_.lease_seconds / 4));
  }
  next_look_ = now + kLook;
  pulse_running_ = true;
  options_.registry_worker->Run([this, held = std::move(held)] {
    absl::StatusOr<std::vector<std::string>> lost = std::vector<std::string>();
    if (!held.empty()) lost = options_.registry->Renew(held);
    absl::StatusOr<std::vector<std::string>> wanted = options_.registry->TakeWanted();
    post_([this, lost = std::move(lost), wanted = std::move(wanted)] {
      pulse_running_ = false;
      for (const std::string& key : lost.ok() ? *lost : std::vector<std::string>()) {
        const absl::StatusOr<Session*> session = table_->Find(key);
        // One that is moving or running finds out when it is parked.
        if (session.ok() && !(*session)->moving && !(*session)->busy() && (*session)->epoch > 0) {
          ++moves_;
          Lost(**session);
        }
      }
      for (const std::string& key : wanted.ok() ? *wanted : std::vector<std::string>()) HandOver(key);
    });
  });
}

// A busy session is not given up; who wants it asks again.
void Tiers::HandOver(const std::string& key) {
  const absl::StatusOr<Session*> found = table_->Find(key);
  if (!found.ok()) return options_.elsewhere(key);
  if ((*found)->busy() || paused(Tier::kRegistry)) return;
  Session& session = **found;
  if (session.tier == Tier::kRegistry || session.unsure) return;
  handing_over_.push_back(key);
  if (session.moving) return;
  if (session.tier == Tier::kDevice) return StartDown(session);
  if (session.tier == Tier::kDirectory) return StartRegister(session);
  if (session.tier == Tier::kEmpty) {
    session.copy = table_->CopyOf(session);
    SetTier(session, Tier::kHost);
  }
  StartWrite(session, Tier::kRegistry);
}

}  // namespace barista

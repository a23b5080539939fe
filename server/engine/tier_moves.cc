// The moves of Tiers: each sets Session::moving, gives a worker what it needs as values, and ends on the engine's
// thread.
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/engine/store_error.h"
#include "server/engine/tiers.h"
#include "server/observe/log.h"

namespace barista {
namespace {

std::string NameOf(const std::string& key) { return absl::StrCat("sessions/", SessionIdOf(key)); }

const char* StoreOf(Tier tier) {  // as the metrics call it
  return tier == Tier::kDirectory ? "directory" : "redis";
}

// Whether nobody used the session since this server parked it. Times are kept in milliseconds.
bool IsAsParked(const Session& session, const LabelledSession& read) {
  const auto same = [](WallTime a, WallTime b) {
    return std::chrono::floor<std::chrono::milliseconds>(a) == std::chrono::floor<std::chrono::milliseconds>(b);
  };
  return session.stored_tokens == read.copy.tokens() && same(session.made, read.label.made) &&
         same(session.used, read.label.taken);
}

}  // namespace

void Tiers::StartDown(Session& session) {
  session.moving = true;
  ++moves_;
  ++leaving_slots_;
  session.idle.lease.AssertOwner();
  const auto copy = std::make_shared<SessionCopy>(CopyWithoutState(session.idle));
  options_.device_worker->Run([this, &session, copy, slot = session.idle.lease.slot()] {
    CopyState(slot, pool_, *copy);
    post_([this, &session, copy] {
      --leaving_slots_;
      session.idle = Sequence();  // the one tier where an evicted session's slot comes free
      if (!copy->finite) return LostNonFinite(session);
      session.copy = copy;
      if (!session.deleted) SetTier(session, Tier::kHost);
      metrics_.evictions("host").Increment();
      Finish(session, absl::OkStatus());
    });
  });
}

void Tiers::StartUp(Session& session, SlotLease lease) {
  session.moving = true;
  ++moves_;
  SetWithoutState(*session.copy, session.idle);
  session.idle.lease = std::move(lease);
  options_.device_worker->Run([this, &session, copy = session.copy, slot = session.idle.lease.slot()] {
    pool_.Upload(slot, copy->state->data());
    post_([this, &session] {
      session.copy = nullptr;
      if (session.deleted) {
        session.idle = Sequence();
      } else {
        SetTier(session, Tier::kDevice);
        metrics_.returns("host").Increment();
      }
      Finish(session, absl::OkStatus());
    });
  });
}

void Tiers::StartWrite(Session& session, Tier to) {
  session.moving = true;
  ++moves_;
  ++writing_;
  const bool directory = to == Tier::kDirectory;
  Worker* worker = directory ? options_.directory_worker : options_.registry_worker;
  worker->Run([this, &session, to, directory, copy = session.copy, label = LabelOf(session), key = session.key,
               epoch = session.epoch] {
    const std::string bytes = options_.format->Write(*copy, label);
    absl::Status status =
        directory ? options_.directory->Put(key, bytes, true) : options_.registry->Park(key, epoch, bytes);
    post_([this, &session, to, status = std::move(status)] { Written(session, to, status); });
  });
}

void Tiers::Written(Session& session, Tier to, const absl::Status& status) {
  --writing_;
  if (absl::IsAborted(status)) return Lost(session);
  if (!status.ok()) {
    LogError("state not kept", {{"tier", StoreOf(to)}, {"message", std::string(status.message())}});
    metrics_.store_failures(StoreOf(to)).Increment();
    Pause(to);
    // It stays where it was; the registry may have it all the same.
    if (to == Tier::kRegistry && absl::IsUnavailable(status)) return Unsure(session);
    return Finish(session, absl::OkStatus());
  }
  if (session.deleted) return Finish(session, absl::OkStatus());  // with its epoch: the registry must forget it
  session.stored_tokens = session.copy->tokens();
  session.copy = nullptr;
  if (to == Tier::kRegistry) session.epoch = 0;
  metrics_.evictions(StoreOf(to)).Increment();
  SetTier(session, to);
  Finish(session, absl::OkStatus());
}

void Tiers::StartHandOver(Session& session) {
  session.moving = true;
  ++moves_;
  options_.registry_worker->Run([this, &session, copy = session.copy, label = LabelOf(session), key = session.key] {
    const absl::Status status = options_.hand_over(key, options_.format->Write(*copy, label));
    post_([this, &session, status = std::move(status)] {
      if (status.ok()) return End(session, SessionNotFound(session.key));  // it is the peer's now
      LogError("session not handed over", {{"message", std::string(status.message())}});
      metrics_.store_failures("peer").Increment();
      peer_failed_ = true;
      Finish(session, absl::OkStatus());
    });
  });
}

void Tiers::StartRegister(Session& session) {
  session.moving = true;
  ++moves_;
  ++registering_;
  options_.directory_worker->Run([this, &session, key = session.key, epoch = session.epoch] {
    absl::StatusOr<std::string> bytes = options_.directory->Get(key, options_.format->bytes_max());
    const auto shared = std::make_shared<absl::StatusOr<std::string>>(std::move(bytes));
    options_.registry_worker->Run([this, &session, key, epoch, shared] {
      absl::Status status = shared->ok() ? options_.registry->Park(key, epoch, **shared) : shared->status();
      post_([this, &session, key, status = std::move(status)] {
        --registering_;
        if (absl::IsAborted(status)) return Lost(session);
        if (!status.ok()) {
          metrics_.store_failures("redis").Increment();
          Pause(Tier::kRegistry);
          if (absl::IsUnavailable(status)) return Unsure(session);
          return Finish(session, absl::OkStatus());
        }
        if (session.deleted) return Finish(session, absl::OkStatus());  // with its epoch, as Written
        EndStored(key, Tier::kDirectory, 0, {});
        session.epoch = 0;
        SetTier(session, Tier::kRegistry);
        metrics_.evictions("redis").Increment();
        Finish(session, absl::OkStatus());
      });
    });
  });
}

absl::StatusOr<LabelledSession> Tiers::ReadDirectory(const std::string& key) const {
  const absl::StatusOr<std::string> bytes = options_.directory->Get(key, options_.format->bytes_max() + 1);
  if (absl::IsNotFound(bytes.status())) return DamagedError(NameOf(key), bytes.status());
  if (!bytes.ok()) return StoreError(NameOf(key), bytes.status());
  absl::StatusOr<LabelledSession> read = options_.format->Read(*bytes, TenantOf(key));
  if (!read.ok()) return DamagedError(NameOf(key), read.status());
  // The file is the newest only until the session goes on: left behind, it would come back after a restart.
  const absl::Status deleted = options_.directory->Delete(key);
  if (!deleted.ok()) return StoreError(NameOf(key), deleted);
  return read;
}

absl::StatusOr<LabelledSession> Tiers::ReadRegistry(const std::string& key, uint64_t& epoch, bool& unsure) const {
  const absl::StatusOr<SessionRegistry::Claimed> claimed = options_.registry->Claim(key);
  if (absl::IsNotFound(claimed.status())) return SessionNotFound(key);
  if (absl::IsAborted(claimed.status())) {
    return MakeError({.reason = ErrorReason::kSessionElsewhere, .retry_after_seconds = 0.1},
                     absl::StrCat(NameOf(key), " is held by another server, which has not given it up yet"));
  }
  if (!claimed.ok()) return StoreError(NameOf(key), claimed.status());
  epoch = claimed->epoch;
  absl::StatusOr<LabelledSession> read = options_.format->Read(claimed->bytes, TenantOf(key));
  if (!read.ok()) return DamagedError(NameOf(key), read.status());
  const absl::Status confirmed = options_.registry->Confirm(key, epoch);
  unsure = absl::IsUnavailable(confirmed);  // the state may be here alone by now
  if (!confirmed.ok() && !unsure) return StoreError(NameOf(key), confirmed);
  return read;
}

void Tiers::StartRead(Session& session) {
  session.moving = true;
  ++moves_;
  const bool directory = session.tier == Tier::kDirectory;
  Worker* worker = directory ? options_.directory_worker : options_.registry_worker;
  worker->Run([this, &session, directory, key = session.key, epoch = session.epoch]() mutable {
    bool unsure = false;
    const auto read = std::make_shared<absl::StatusOr<LabelledSession>>(directory ? ReadDirectory(key)
                                                                                  : ReadRegistry(key, epoch, unsure));
    post_([this, &session, epoch, unsure, read] { Arrived(session, std::move(*read), epoch, unsure); });
  });
}

void Tiers::Arrived(Session& session, absl::StatusOr<LabelledSession> read, uint64_t epoch, bool unsure) {
  if (read.ok()) {
    metrics_.returns(StoreOf(session.tier)).Increment();
    if (session.tier == Tier::kRegistry && !IsAsParked(session, *read)) {
      session.ForgetPast();  // another server has advanced it
    }
    session.epoch = epoch;
    session.unknown = false;
    session.tries = 0;
    session.made = read->label.made;
    session.used = read->label.taken;
    session.copy = std::make_shared<const SessionCopy>(std::move(read->copy));
    if (session.deleted) {
      session.tier = Tier::kHost;
    } else {
      SetTier(session, Tier::kHost);
    }
    return unsure ? Unsure(session) : Finish(session, absl::OkStatus());
  }
  const ErrorReason reason = DetailOf(read.status()).reason;
  if (reason == ErrorReason::kSessionElsewhere && !session.deleted && ++session.tries < kTriesMax) {
    retries_.push_back(session.key);
    session.moving = false;
    --moves_;
    return;
  }
  session.tries = 0;
  if (session.unknown || reason == ErrorReason::kSessionNotFound) {  // it was never here, or is gone
    return End(session, read.status());
  }
  Finish(session, read.status());
}

void Tiers::Lost(Session& session) {
  LogError("a session was taken by another server", {});
  metrics_.sessions_fenced_total.Increment();
  session.epoch = 0;
  End(session, SessionNotFound(session.key));
}

void Tiers::LostNonFinite(Session& session) {
  metrics_.state_nonfinite_total.Increment();
  End(session, NonFiniteError(NameOf(session.key), "it is lost"));
}

void Tiers::End(Session& session, const absl::Status& why) {
  const std::vector<std::function<void(const absl::Status&)>> waiting = std::exchange(session.waiting, {});
  const bool deleted = session.deleted;
  Finish(session, absl::OkStatus());
  if (!deleted) table_->Drop(session);
  for (const auto& work : waiting) work(why);
}

void Tiers::Finish(Session& session, absl::Status status) {
  --moves_;
  session.moving = false;
  if (session.deleted) {
    ++moves_;
    const uint64_t epoch = session.tier == Tier::kRegistry || options_.registry == nullptr ? 0 : session.epoch;
    AfterDirectory([this, key = session.key, epoch, gone = session.gone] {  // its file is gone then (Ended)
      Forget(key, epoch, absl::OkStatus(), gone);
    });
    status = SessionNotFound(session.key);
  } else if (status.ok() && !session.waiting.empty() && !session.in_memory()) {
    return StartRead(session);  // it was asked for while it went down
  }
  std::vector<std::function<void(const absl::Status&)>> waiting = std::move(session.waiting);
  session.waiting.clear();
  if (session.deleted) table_->EraseLeaving(session);
  for (const auto& work : waiting) work(status);
}

}  // namespace barista

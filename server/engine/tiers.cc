#include "server/engine/tiers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/engine/store_error.h"

namespace barista {
namespace {

constexpr int64_t kMovesMax = 8;  // states that are in the host's memory only because they are on their way

}  // namespace

Tiers::Tiers(const TierOptions& options, SlotTable& slots, StatePool& pool, Metrics& metrics, const Clock& clock,
             std::function<void(std::function<void()>)> post)
    : options_(options),
      slots_(slots),
      pool_(pool),
      metrics_(metrics),
      clock_(clock),
      post_(std::move(post)),
      sessions_max_(slots.total() + options.host_sessions + options.directory_sessions + options.registry_sessions) {}

void Tiers::Began(Session& session) {
  session.tier = Tier::kEmpty;
  Joined(session);
}

void Tiers::Joined(Session& session) {
  session.order = order(session.tier).insert(order(session.tier).end(), &session);
}

void Tiers::Left(Session& session) { order(session.tier).erase(session.order); }

void Tiers::SetTier(Session& session, Tier tier) {
  Order& to = order(tier);
  to.splice(to.end(), order(session.tier), session.order);
  session.tier = tier;
}

void Tiers::Ended(Session& session) {
  Left(session);
  if (!session.moving) return EndStored(session.key, session.tier, session.epoch, session.gone);
  // What the worker has in hand comes before this, and what a new session of that name writes comes after it. The rest
  // is Finish's.
  if (options_.directory != nullptr) EndStored(session.key, Tier::kDirectory, 0, {});
}

void Tiers::AfterDirectory(std::function<void()> work) {
  options_.directory != nullptr ? options_.directory_worker->Run(std::move(work)) : work();
}

void Tiers::EndStored(const std::string& key, Tier tier, uint64_t epoch, Gone gone) {
  if (tier == Tier::kRegistry || options_.registry == nullptr) epoch = 0;
  if (tier != Tier::kDirectory && epoch == 0) {
    if (gone) gone(absl::OkStatus());
    return;
  }
  ++moves_;
  if (tier != Tier::kDirectory) return Forget(key, epoch, absl::OkStatus(), std::move(gone));
  options_.directory_worker->Run([this, key, epoch, gone = std::move(gone)] {
    const absl::Status deleted = options_.directory->Delete(key);
    const bool done = deleted.ok() || absl::IsNotFound(deleted);
    Forget(key, epoch, done ? absl::OkStatus() : StoreError(absl::StrCat("sessions/", SessionIdOf(key)), deleted),
           gone);
  });
}

Session* Tiers::LongestUnused(Tier tier) {
  for (Session* session : order(tier)) {
    if (!session->moving && !session->busy() && !session->unsure && session->waiting.empty()) return session;
  }
  return nullptr;
}

bool Tiers::BringToSlot(Session& session, int32_t& slots_wanted) {
  if (session.moving) return false;
  if (session.tier == Tier::kDevice) return true;
  if (!session.in_memory()) {
    StartRead(session);
    return false;
  }
  std::optional<SlotLease> lease = slots_.Acquire();
  if (!lease) {
    ++slots_wanted;
    return false;
  }
  if (session.tier == Tier::kHost) {
    StartUp(session, *std::move(lease));
    return !session.moving;
  }
  session.idle.lease = *std::move(lease);
  SetTier(session, Tier::kDevice);
  return true;
}

bool Tiers::HasRoom(Tier tier) const {
  if (tier == Tier::kHost) return count(tier) + leaving_slots_ < options_.host_sessions;
  if (paused(tier)) return false;
  return count(tier) < (tier == Tier::kDirectory ? options_.directory_sessions : options_.registry_sessions);
}

int64_t Tiers::room_below() const {
  const auto left = [this](Tier tier, int64_t limit) { return paused(tier) ? 0 : limit - count(tier); };
  return options_.host_sessions - count(Tier::kHost) - leaving_slots_ +
         left(Tier::kDirectory, options_.directory_sessions) + left(Tier::kRegistry, options_.registry_sessions);
}

void Tiers::Balance(int32_t slots_wanted, int64_t coming_up) {
  int64_t room = room_below() + coming_up;
  int64_t wanted = int64_t{slots_wanted} - slots_.available() - leaving_slots_;
  for (; wanted > 0 && room > 0; --wanted, --room) {
    if (count(Tier::kHost) - coming_up + leaving_slots_ >= options_.host_sessions + kMovesMax) break;
    Session* session = LongestUnused(Tier::kDevice);
    if (session == nullptr) break;
    StartDown(*session);
  }
  for (int64_t over = count(Tier::kHost) - writing_ - options_.host_sessions; over > 0 && moves_ < kMovesMax; --over) {
    Session* session = LongestUnused(Tier::kHost);
    if (session == nullptr) break;
    if (HasRoom(Tier::kDirectory)) {
      StartWrite(*session, Tier::kDirectory);
    } else if (HasRoom(Tier::kRegistry)) {
      StartWrite(*session, Tier::kRegistry);
    } else if (parking_ || !handing_over_.empty() || slots_.available() == 0) {  // it may be one that leaves
      break;
    } else {
      StartUp(*session, *slots_.Acquire());
    }
  }
  const bool down = options_.registry != nullptr && HasRoom(Tier::kRegistry);
  for (int64_t over = count(Tier::kDirectory) - registering_ - options_.directory_sessions + 1;
       down && over > 0 && moves_ < kMovesMax; --over) {
    Session* session = LongestUnused(Tier::kDirectory);
    if (session == nullptr) break;
    StartRegister(*session);
  }
}

bool Tiers::CanMakeRoom(int64_t coming_up) const {
  if (leaving_slots_ > 0) return true;
  const bool room =
      count(Tier::kHost) - coming_up < options_.host_sessions || HasRoom(Tier::kDirectory) || HasRoom(Tier::kRegistry);
  return room && count(Tier::kDevice) > 0;
}

void Tiers::BringToMemory(Session& session, std::function<void(const absl::Status&)> work) {
  if (session.unsure) return work(UnsureError(session));
  if (session.in_memory() && !session.unknown && !session.moving) return work(absl::OkStatus());
  session.waiting.push_back(std::move(work));
  if (!session.moving) StartRead(session);
}

void Tiers::Pause(Tier tier) { paused_until_[static_cast<int>(tier)] = clock_.Now() + std::chrono::seconds(1); }

bool Tiers::paused(Tier tier) const { return clock_.Now() < paused_until_[static_cast<int>(tier)]; }

SessionLabel Tiers::LabelOf(const Session& session) const {
  return {.tenant = TenantOf(session.key),
          .session = SessionIdOf(session.key),
          .made = session.made,
          .taken = session.used};
}

int64_t Tiers::ParkAll() {
  parking_ = true;
  const bool to_peer = options_.registry == nullptr && options_.hand_over != nullptr && !peer_failed_;
  const bool registry_works = options_.registry != nullptr && !paused(Tier::kRegistry);
  const Tier last = registry_works || options_.directory == nullptr ? Tier::kRegistry : Tier::kDirectory;
  int64_t left = 0;
  table_->ForEach([&](Session& session) {
    const bool there = session.tier == last || session.tier == Tier::kRegistry;
    if (!to_peer && there && !session.moving) return;
    ++left;
    if (!to_peer && options_.registry == nullptr && options_.directory == nullptr) return;  // the peer has failed
    if (session.moving || session.busy() || moves_ >= kMovesMax || (!to_peer && paused(last))) return;
    switch (session.tier) {
      case Tier::kDevice:
        return StartDown(session);
      case Tier::kEmpty:
        session.copy = table_->CopyOf(session);
        return SetTier(session, Tier::kHost);
      case Tier::kHost:
        return to_peer ? StartHandOver(session) : StartWrite(session, last);
      case Tier::kDirectory:
        return to_peer ? StartRead(session) : StartRegister(session);
      case Tier::kRegistry:
        return;
    }
  });
  return left > 0 ? left : moves_;
}

}  // namespace barista

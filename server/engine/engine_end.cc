// How an engine ends: by a drain, with its sessions sent to their store, or with its device.
#include <algorithm>
#include <utility>

#include "absl/synchronization/notification.h"
#include "server/engine/engine.h"
#include "server/engine/error.h"

namespace barista {
namespace {

absl::Status ShuttingDown() { return MakeError({.reason = ErrorReason::kDraining}, "the server is shutting down"); }

absl::Status EngineFailed(const Call& call, absl::string_view why) {
  return MakeError({.reason = ErrorReason::kEngineFailed, .durable_position = call.durable_position()}, why);
}

}  // namespace

void Engine::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    draining_ = stop_ = true;
    metrics_.draining.Set(1);
    wake_.Signal();
  }
  if (options_.drift.replay != nullptr) options_.drift.replay->Stop();
  if (thread_.joinable()) thread_.join();
  model_.backend().BindThread();
  if (ahead_) Step();  // where the engine was driven by hand
  while (true) {
    RunPosted();
    TakeSubmitted();
    EndAll(ShuttingDown());
    absl::MutexLock lock(&mutex_);
    if (!tiers_.working() && posted_.empty() && coming_over_ == 0) return;
    if (posted_.empty()) wake_.WaitWithTimeout(&mutex_, absl::Milliseconds(20));
  }
}

void Engine::EndAll(const absl::Status& status) {
  for (ActiveCall& active : waiting_) End(active, status);
  for (const std::unique_ptr<ActiveCall>& active : arriving_) End(*active, status);
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (!active->ended) End(*active, status);
  }
  waiting_.clear();
  arriving_.clear();
  running_.clear();
}

void Engine::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  metrics_.draining.Set(1);
}

void Engine::CutOff() {
  absl::Notification ended;
  PostInternal([this, &ended] {
    EndAll(ShuttingDown());
    {
      absl::MutexLock lock(&mutex_);
      sessions_count_ = sessions_.size();
    }
    ended.Notify();
  });
  ended.WaitForNotification();
}

void Engine::Park() {
  absl::MutexLock lock(&mutex_);
  parking_ = true;
  not_parked_ = std::max<int64_t>(sessions_count_, 1);  // until ParkSome has looked
}

int64_t Engine::not_parked() const {
  absl::MutexLock lock(&mutex_);
  return not_parked_;
}

void Engine::ParkSome() {
  {
    absl::MutexLock lock(&mutex_);
    if (!parking_) return;
  }
  const int64_t left = tiers_.ParkAll();
  absl::MutexLock lock(&mutex_);
  not_parked_ = left;
}

bool Engine::DeviceFailed() {
  if (!device_error_.ok()) return true;
  const absl::Status status = model_.backend().status();
  if (status.ok()) return false;
  device_error_ = MakeError({.reason = ErrorReason::kEngineFailed}, status.message());
  failed_ = true;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
  }
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (!active->ended) End(*active, EngineFailed(*active->call, status.message()));
  }
  if (options_.on_device_failure) options_.on_device_failure(status);
  return true;
}

void Engine::Abandon(absl::string_view why) {
  failed_ = true;
  std::set<std::shared_ptr<Call>> calls;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    calls = calls_;
  }
  for (const std::shared_ptr<Call>& call : calls) {
    call->Push(Finished{.status = EngineFailed(*call, why)});
  }
}

}  // namespace barista

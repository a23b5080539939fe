// Work on sessions, wherever they are; calls on them: how they get to a slot, go back, and what is kept of them.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/engine.h"
#include "server/engine/error.h"
#include "server/engine/positions.h"

namespace barista {

absl::Status Engine::PostFind(const std::string& key, std::function<void(const absl::StatusOr<Session*>&)> work) {
  return Post([key, work = std::move(work)](SessionTable& sessions) {
    if (const absl::StatusOr<Session*> session = sessions.Find(key); session.ok()) return work(session);
    sessions.Bring(key, [key, work, &sessions](const absl::Status& brought) {
      brought.ok() ? work(sessions.Find(key)) : work(brought);
    });
  });
}

absl::Status Engine::PostFor(const std::string& key, std::function<void(SessionTable&, const absl::Status&)> work) {
  return Post([key, work = std::move(work)](SessionTable& sessions) {
    sessions.Bring(key, [&sessions, work](const absl::Status& brought) { work(sessions, brought); });
  });
}

absl::Status Engine::PostNew(
    std::vector<std::string> keys,
    std::function<absl::Status(SessionTable&, const absl::StatusOr<std::vector<uint64_t>>&)> work) {
  return Post([keys = std::move(keys), work = std::move(work)](SessionTable& sessions) {
    sessions.Reserve(keys, [&sessions, work](const auto& epochs) { return work(sessions, epochs); });
  });
}

void Engine::AskForSession(ActiveCall submitted) {
  auto active = std::make_unique<ActiveCall>(std::move(submitted));
  const std::string& key = active->request().session;
  if (const absl::StatusOr<Session*> session = sessions_.Find(key); session.ok()) {
    if ((*session)->busy()) return End(*active, SessionBusy(key));
    (*session)->wanted = active->waits_for_session = true;
  }
  Bring(*active);
  arriving_.push_back(std::move(active));
}

void Engine::Bring(ActiveCall& active) {
  active.brought = std::make_shared<std::optional<absl::Status>>();
  tiers_.Bring(active.request().session, [brought = active.brought](const absl::Status& status) { *brought = status; });
}

void Engine::ServeArriving() {
  slots_wanted_ = 0;
  coming_up_ = 0;
  // Slots may run out on the way.
  std::stable_sort(arriving_.begin(), arriving_.end(), [](const auto& a, const auto& b) {
    return a->tenant->slots_by_weight() < b->tenant->slots_by_weight();
  });
  for (std::unique_ptr<ActiveCall>& active : arriving_) {
    if (!active->brought->has_value()) continue;
    const std::string& key = active->request().session;
    absl::Status status = **active->brought;
    const absl::StatusOr<Session*> session = sessions_.Find(key);
    if (status.ok()) status = session.status();
    if (status.ok() && !active->waits_for_session) {  // it came from another server
      if ((*session)->busy()) {
        status = SessionBusy(key);
      } else {
        (*session)->wanted = active->waits_for_session = true;
      }
    }
    if (!status.ok()) {
      End(*active, status);
      continue;
    }
    if ((*session)->unsure || !(*session)->in_memory()) {  // it went down as the call came
      Bring(*active);
      continue;
    }
    if (tiers_.BringToSlot(**session, slots_wanted_)) {
      (*session)->wanted = active->waits_for_session = false;
      TakeSession(std::move(active), **session);
      active = nullptr;
    } else if (!(*session)->moving && (*session)->in_memory()) {  // it waits for a slot
      if ((*session)->waiting.empty() && MoveTo(group_.WithFree(1, *this), active.get(), *session)) {
        --slots_wanted_;
        active = nullptr;
      } else if ((*session)->tier == Tier::kHost) {
        ++coming_up_;
      }
    }
  }
  arriving_.erase(std::remove(arriving_.begin(), arriving_.end(), nullptr), arriving_.end());
  if (slots_wanted_ > 0 && running_.empty() && slots_.used() == tiers_.count(Tier::kDevice) &&
      !tiers_.CanMakeRoom(coming_up_)) {
    for (const std::unique_ptr<ActiveCall>& active : arriving_) {
      if (active->ended || !active->brought->has_value()) continue;
      End(*active, MakeError({.reason = ErrorReason::kStoreFailed, .retry_after_seconds = 1},
                             "no slot can be freed: the stores that idle sessions would go to are full or failing"));
    }
  }
  RemoveEnded();
}

void Engine::TakeSession(std::unique_ptr<ActiveCall> active, Session& session) {
  const Request& request = active->request();
  if (!request.mark.empty() && !session.past.HasMark(request.mark) && session.past.Marks().size() >= Past::kMarksMax) {
    return End(*active, FieldError("mark", absl::StrCat("the session has ", Past::kMarksMax, " marks, the limit")));
  }
  active->opening = session.idle.tokens() == 0;
  if (!active->opening) active->keys.clear();
  if (request.kind == RequestKind::kGenerate) {
    if (active->opening && active->prompt().empty()) {
      return End(*active, FieldError("text", absl::StrCat("a prompt is required: sessions/", SessionIdOf(session.key),
                                                          " is empty")));
    }
    if (absl::Status status = CheckPositions(session.idle.tokens(), "the session", active->prompt().size(),
                                             request.stop, options_.positions_max);
        !status.ok()) {
      return End(*active, status);
    }
  }
  if (request.kind != RequestKind::kRewind) sessions_.Checkpoint(session, Past::Kind::kTurn);  // it is not refused
  Sequence& sequence = active->choices[0].sequence;
  sessions_.Take(session, sequence);
  active->session = &session;
  active->call->RunsOn(session.durable);
  if (request.kind == RequestKind::kRewind) {
    if (absl::Status status = BeginRewind(*active); !status.ok()) return End(*active, status);
    ActiveCall& begun = *active;
    Begin(std::move(active));
    return ReplayOn(begun);
  }
  if (request.kind == RequestKind::kAppend) {
    active->appended = active->opening ? request.opening : request.prompt;
  } else {
    active->settling = sequence.pending >= 0 && !active->prompt().empty();
  }
  Begin(std::move(active));
}

absl::Status Engine::BeginRewind(ActiveCall& active) {
  const RewindTarget& to = active.request().rewind;
  const Past& past = active.session->past;
  Sequence& sequence = active.choices[0].sequence;
  const int64_t now = sequence.tokens();
  absl::StatusOr<RewindPlan> plan = !to.mark.empty() ? past.ToMark(to.mark)
                                    : to.turns > 0   ? past.BackTurns(now, to.turns)
                                                     : past.Back(now, to.tokens, sessions_.rewind_tokens_max());
  if (!plan.ok()) return plan.status();
  if (plan->from != nullptr) {
    pool_.Upload(sequence.lease.slot(), plan->from->state->data());
    group_.states.Touch(plan->from);
  } else {
    pool_.Init(sequence.lease.slot());
  }
  active.replay = std::make_unique<Replay>(*std::move(plan), tokenizer_, sequence);
  return absl::OkStatus();
}

void Engine::ReplayOn(ActiveCall& active) {
  Replay& replay = *active.replay;
  while (!replay.done() && active.prompt_read()) {
    replay.NextRun();
    active.prompt_done = 0;
  }
  if (!replay.done()) return;
  replay.Complete(active.choices[0].sequence);
  active.session->CutPastAfter(replay.target());
  EndRead(active);
}

void Engine::EndRead(ActiveCall& active) {
  active.prefilled = clock_.Now();
  const int32_t slot = active.choices[0].sequence.lease.slot();
  if (!pool_.LastHiddenIsFinite(slot)) return EndNonFinite(active, "the text");
  End(active, absl::OkStatus());
}

void Engine::PutStart(ActiveCall& active) {
  Sequence& sequence = active.choices[0].sequence;
  pool_.Upload(sequence.lease.slot(), active.request().start->state->data());
  SetWithoutState(*active.request().start, sequence);
  active.settling = sequence.pending >= 0 && !active.prompt().empty();
}

void Engine::UsePrefix(ActiveCall& active) {
  if (active.keys.empty()) return;
  const std::vector<int32_t>& prompt = active.prompt();
  PrefixCache::Found found = group_.prefixes.Find(active.keys, prompt);
  if (found.copy != nullptr) {
    Sequence& sequence = active.choices[0].sequence;
    pool_.Upload(sequence.lease.slot(), found.copy->state->data());
    sequence.position = active.prompt_done = active.cached = found.tokens;
    const absl::Span<const int32_t> prefix = absl::MakeConstSpan(prompt).first(found.tokens);
    if (active.counts_tokens()) sequence.counts.AddPrompt(prefix);
    if (active.session != nullptr && group_.states.on()) active.session->past.Read(prefix);
    metrics_.cached_tokens_total.Increment(static_cast<double>(found.tokens));
  }
  active.keep_at = group_.prefixes.Wanted(active.keys, static_cast<int64_t>(prompt.size()), found.tokens);
  std::reverse(active.keep_at.begin(), active.keep_at.end());
}

void Engine::KeepPrefix(ActiveCall& active) {
  if (active.keep_at.empty() || active.prompt_done != active.keep_at.back()) return;
  active.keep_at.pop_back();
  auto copy = std::make_shared<SessionCopy>();  // without what belongs to this call alone
  copy->position = active.prompt_done;
  CopyState(active.choices[0].sequence.lease.slot(), pool_, *copy);
  if (!copy->finite) return;  // the call's first token will tell
  group_.prefixes.Keep(active.keys, absl::MakeConstSpan(active.prompt()).first(active.prompt_done), std::move(copy));
}

int64_t Engine::SlotsForCalls() const {
  int64_t idle = slots_.used();
  for (const std::unique_ptr<ActiveCall>& active : running_) idle -= static_cast<int64_t>(active->choices.size());
  return slots_.available() + std::max<int64_t>(std::min(idle, tiers_.room_below()), 0);
}

void Engine::KeepAnchors() {
  const int64_t distance = sessions_.rewind_tokens_max();
  if (distance == 0) return;
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (active->ended || active->session == nullptr || active->request().kind == RequestKind::kRewind) continue;
    Session& session = *active->session;
    if (session.past.IsBehind(session.tokens(), distance)) sessions_.Checkpoint(session, Past::Kind::kAnchor);
  }
}

}  // namespace barista

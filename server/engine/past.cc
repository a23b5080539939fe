#include "server/engine/past.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {
namespace {

absl::Status OutOfRange(absl::string_view field, absl::string_view message) {
  return MakeError({.reason = ErrorReason::kRewindOutOfRange, .field = std::string(field)},
                   absl::StrCat(field, ": ", message));
}

}  // namespace

int64_t RewindPlan::replayed() const {
  int64_t count = 0;
  for (const TokenRun& run : replay) count += static_cast<int64_t>(run.tokens.size());
  return count;
}

void Past::Push(int32_t token, bool drawn) {
  if (runs_.empty() || runs_.back().drawn != drawn || (!drawn && call_began_)) runs_.push_back({end(), drawn});
  call_began_ = false;
  tokens_.push_back(token);
}

void Past::Read(absl::Span<const int32_t> tokens) {
  for (const int32_t token : tokens) Push(token, false);
}

void Past::Drew(int32_t token) { Push(token, true); }

void Past::Keep(Kind kind, const std::string& mark, int64_t tokens,
                absl::FunctionRef<std::shared_ptr<const SessionCopy>()> copy, int64_t rewind_tokens_max,
                StateCache& cache) {
  std::shared_ptr<const KeptState> state;
  if (tokens > 0) {
    state = At(tokens);
    if (state == nullptr) {
      std::shared_ptr<const SessionCopy> made = copy();
      if (!made->finite) return;  // the call that runs, or the next one, will tell
      state = std::make_shared<const KeptState>(std::move(made), cache);
    }
  }
  if (kind == Kind::kMark) {
    checkpoints_.erase(std::remove_if(checkpoints_.begin(), checkpoints_.end(),
                                      [&](const Checkpoint& c) { return c.kind == kind && c.mark == mark; }),
                       checkpoints_.end());
  }
  if (tokens_.empty()) begin_ = tokens;
  checkpoints_.push_back({kind, mark, tokens, std::move(state)});
  Trim(rewind_tokens_max);
}

// Only the newest checkpoint at least rewind_tokens_max back, and those after it, are replayed from.
void Past::Trim(int64_t rewind_tokens_max) {
  const Checkpoint* floor = NearestBefore(end() - rewind_tokens_max);
  const auto oldest = std::find_if(checkpoints_.begin(), checkpoints_.end(), [](const auto& c) { return c.alive(); });
  int64_t keep_from = end();
  if (floor != nullptr) {
    keep_from = floor->tokens;
  } else if (oldest != checkpoints_.end()) {
    keep_from = oldest->tokens;
  }
  size_t turns = 0;
  for (const Checkpoint& c : checkpoints_) turns += c.kind == Kind::kTurn ? 1 : 0;
  const auto useless = [&](const Checkpoint& c) {
    if (!c.alive() && c.kind != Kind::kTurn) return true;  // a turn counts, within reach or not
    const bool old = c.kind == Kind::kAnchor ? c.tokens < keep_from : c.kind == Kind::kTurn && turns > kTurnsMax;
    if (old && c.kind == Kind::kTurn) --turns;
    return old;
  };
  checkpoints_.erase(std::remove_if(checkpoints_.begin(), checkpoints_.end(), useless), checkpoints_.end());
  const int64_t drop = std::clamp<int64_t>(keep_from - begin_, 0, static_cast<int64_t>(tokens_.size()));
  tokens_.erase(tokens_.begin(), tokens_.begin() + drop);
  begin_ += drop;
  while (runs_.size() > 1 && runs_[1].begin <= begin_) runs_.pop_front();
}

bool Past::IsBehind(int64_t tokens, int64_t distance) const {
  return checkpoints_.empty() || tokens - checkpoints_.back().tokens >= distance;
}

std::shared_ptr<const KeptState> Past::At(int64_t tokens) const {
  for (auto c = checkpoints_.rbegin(); c != checkpoints_.rend() && c->tokens >= tokens; ++c) {
    if (c->tokens == tokens && c->alive()) return c->state;
  }
  return nullptr;
}

bool Past::HasMark(const std::string& name) const {
  return std::any_of(checkpoints_.begin(), checkpoints_.end(),
                     [&](const Checkpoint& c) { return c.kind == Kind::kMark && c.mark == name; });
}

const Past::Checkpoint* Past::NearestBefore(int64_t tokens) const {
  for (auto c = checkpoints_.rbegin(); c != checkpoints_.rend(); ++c) {
    if (c->tokens <= tokens && c->alive()) return &*c;
  }
  return nullptr;
}

RewindPlan Past::PlanFrom(const Checkpoint& checkpoint, int64_t tokens) const {
  RewindPlan plan = {.tokens = tokens, .from = checkpoint.copy()};
  for (size_t r = 0; r < runs_.size(); ++r) {
    const int64_t run_end = r + 1 < runs_.size() ? runs_[r + 1].begin : end();
    const int64_t from = std::max(runs_[r].begin, checkpoint.tokens), to = std::min(run_end, tokens);
    if (from >= to) continue;
    plan.replay.push_back(
        {runs_[r].drawn, from == runs_[r].begin, {tokens_.begin() + (from - begin_), tokens_.begin() + (to - begin_)}});
  }
  return plan;
}

absl::StatusOr<RewindPlan> Past::Back(int64_t now, int64_t tokens, int64_t rewind_tokens_max) const {
  const int64_t target = now - tokens;
  if (target < 0) return OutOfRange("tokens", absl::StrCat(tokens, ", and the session has ", now));
  const Checkpoint* checkpoint = NearestBefore(target);
  if (checkpoint != nullptr && (checkpoint->tokens == target || checkpoint->tokens >= begin_)) {
    return PlanFrom(*checkpoint, target);
  }
  return OutOfRange("tokens",
                    absl::StrCat(tokens, ", and no state is kept before position ", target,
                                 "; the lowest that can be reached is ", LowestPosition(now, rewind_tokens_max)));
}

absl::StatusOr<RewindPlan> Past::ToMark(const std::string& name) const {
  for (const Checkpoint& c : checkpoints_) {
    if (c.kind == Kind::kMark && c.mark == name && c.alive()) return PlanFrom(c, c.tokens);
  }
  return MakeError({.reason = ErrorReason::kMarkNotFound, .field = "mark"},
                   absl::StrCat("mark: the session has no mark \"", name, "\", or its state has given way"));
}

absl::StatusOr<RewindPlan> Past::BackTurns(int64_t now, int64_t turns) const {
  int64_t left = turns;
  for (auto c = checkpoints_.rbegin(); c != checkpoints_.rend(); ++c) {
    if (c->kind != Kind::kTurn || --left > 0) continue;
    if (c->alive() && c->tokens <= now) return PlanFrom(*c, c->tokens);
    break;
  }
  return OutOfRange("turns", absl::StrCat(turns, ", and states are kept of the last ", this->turns()));
}

void Past::CutAfter(int64_t tokens) {
  while (!checkpoints_.empty() && checkpoints_.back().tokens > tokens) checkpoints_.pop_back();
  for (Checkpoint& c : checkpoints_) {
    if (c.kind == Kind::kTurn && c.tokens == tokens) c.kind = Kind::kAnchor;  // the turn that began here is undone
  }
  if (tokens < begin_) {
    tokens_.clear();
    runs_.clear();
    begin_ = tokens;
  }
  while (end() > tokens) tokens_.pop_back();
  while (!runs_.empty() && runs_.back().begin >= tokens) runs_.pop_back();
  call_began_ = true;
}

std::vector<Past::Mark> Past::Marks() const {
  std::vector<Mark> marks;
  for (const Checkpoint& c : checkpoints_) {
    if (c.kind == Kind::kMark && c.alive()) marks.push_back({c.mark, c.tokens});
  }
  return marks;
}

int64_t Past::LowestPosition(int64_t now, int64_t rewind_tokens_max) const {
  const int64_t lowest = std::max<int64_t>(now - rewind_tokens_max, 0);
  for (const Checkpoint& c : checkpoints_) {
    if (c.alive() && c.tokens >= begin_) return std::min(std::max(c.tokens, lowest), now);
  }
  return now;
}

int64_t Past::turns() const {
  int64_t count = 0;
  for (auto c = checkpoints_.rbegin(); c != checkpoints_.rend(); ++c) {
    if (c->kind != Kind::kTurn) continue;
    if (!c->alive()) break;
    ++count;
  }
  return count;
}

}  // namespace barista

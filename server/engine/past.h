// What a session can be put back to: states that are kept of it (checkpoints), and its last tokens, which are replayed
// from the nearest one. The engine's thread only.
//
// A checkpoint is taken where a call begins (a turn), where the caller asks for it (a mark), and at least every
// `rewind_tokens_max` tokens (an anchor), so that any of the last rewind_tokens_max positions has one before it. All of
// them lie in the StateCache and may give way there; one state serves all that were taken at its position, and those of
// forks.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/sequence.h"
#include "server/engine/state_cache.h"

namespace barista {

// Tokens that entered the state in one way: a prompt's, in chunks, or drawn ones, one by one. A run of a prompt ends
// where its call does.
struct TokenRun {
  bool drawn = false;
  bool begins = true;  // false: its first tokens came before
  std::vector<int32_t> tokens;
};

// The way to an earlier position.
struct RewindPlan {
  int64_t tokens = 0;                       // of the past, there
  std::shared_ptr<const SessionCopy> from;  // null: the empty session
  std::vector<TokenRun> replay;             // what follows `from`'s tokens
  int64_t replayed() const;
};

// A value: a fork has a copy.
class Past {
 public:
  enum class Kind : uint8_t { kTurn, kMark, kAnchor };
  struct Mark {
    std::string name;
    int64_t tokens = 0;
  };
  static constexpr size_t kMarksMax = 64, kTurnsMax = 64;

  // Tokens that the session took. A prompt's that came in several steps of one call are one run.
  void Read(absl::Span<const int32_t> tokens);
  void Drew(int32_t token);

  // The session's state at its `tokens` now, kept in `cache`, which outlives this. `copy` is asked for it, unless it is
  // kept already or empty; one that is not finite is not kept. The oldest turns give way beyond kTurnsMax, anchors once
  // nothing is replayed from them.
  void Keep(Kind kind, const std::string& mark, int64_t tokens,
            absl::FunctionRef<std::shared_ptr<const SessionCopy>()> copy, int64_t rewind_tokens_max, StateCache& cache);
  // A call begins, whether or not a checkpoint is taken: what is read next is a run of its own.
  void BeginCall() { call_began_ = true; }
  // Whether the newest checkpoint is at least this far behind.
  bool IsBehind(int64_t tokens, int64_t distance) const;
  bool HasMark(const std::string& name) const;

  // Errors: kRewindOutOfRange, kMarkNotFound, saying what is there.
  absl::StatusOr<RewindPlan> Back(int64_t now, int64_t tokens, int64_t rewind_tokens_max) const;
  absl::StatusOr<RewindPlan> ToMark(const std::string& name) const;
  absl::StatusOr<RewindPlan> BackTurns(int64_t now, int64_t turns) const;
  // The session is back at these tokens: what came after is forgotten.
  void CutAfter(int64_t tokens);

  std::vector<Mark> Marks() const;  // those whose state is kept
  int64_t LowestPosition(int64_t now, int64_t rewind_tokens_max) const;
  int64_t turns() const;

 private:
  struct Checkpoint {
    Kind kind;
    std::string mark;
    int64_t tokens;
    std::shared_ptr<const KeptState> state;  // null: the session before its first token, which needs none
    std::shared_ptr<const SessionCopy> copy() const { return state == nullptr ? nullptr : state->copy(); }
    bool alive() const { return state == nullptr || state->copy() != nullptr; }
  };
  struct Run {
    int64_t begin;
    bool drawn;
  };

  // What is kept at exactly these tokens, or null.
  std::shared_ptr<const KeptState> At(int64_t tokens) const;
  int64_t end() const { return begin_ + static_cast<int64_t>(tokens_.size()); }
  const Checkpoint* NearestBefore(int64_t tokens) const;
  RewindPlan PlanFrom(const Checkpoint& checkpoint, int64_t tokens) const;
  void Push(int32_t token, bool drawn);
  void Trim(int64_t rewind_tokens_max);

  std::vector<Checkpoint> checkpoints_;  // by tokens, oldest first
  int64_t begin_ = 0;                    // the session's tokens before tokens_[0]
  std::deque<int32_t> tokens_;
  std::deque<Run> runs_;  // the first may begin before begin_
  bool call_began_ = true;
};

}  // namespace barista

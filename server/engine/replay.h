// A rewind at work: what is fed again after the kept state, run by run, and what the session is once it is done. The
// engine's thread only.
#pragma once

#include <deque>
#include <vector>

#include "server/engine/past.h"
#include "server/text/tokenizer.h"

namespace barista {

class Replay {
 public:
  // Puts everything but the state of `sequence` to the plan's beginning; the caller has put the state there. tokenizer:
  // may be null.
  Replay(RewindPlan plan, const Tokenizer* tokenizer, Sequence& sequence);

  // Of the run in hand: a prompt's are read in chunks, drawn ones one by one.
  const std::vector<int32_t>& tokens() const { return runs_.empty() ? none_ : runs_.front().tokens; }
  bool drawn() const { return !runs_.empty() && runs_.front().drawn; }
  bool done() const { return runs_.empty(); }
  void NextRun() { runs_.pop_front(); }

  int64_t target() const { return target_; }
  int64_t replayed() const { return replayed_; }
  // When it is done: the last token drawn, the counts, the text.
  void Complete(Sequence& sequence);

 private:
  int64_t target_, replayed_;
  std::deque<TokenRun> runs_;
  int32_t pending_ = -1;
  TokenCounts counts_;
  DetokenizerState decoded_;
  const std::vector<int32_t> none_;
};

}  // namespace barista

// Speculation of one choice: tokens are drafted and all verified in one step. Where the draft is right, one step draws
// what several would have drawn, bit for bit; where it is wrong, the sequence is where plain decoding had it.
//
// A step runs the draft as a chain (kernels/view.h): row 0 in the sequence's own slot, row r in a slot on loan, so the
// state after every token lies in a slot of its own and going back is a swap of two leases. The engine's thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/view.h"
#include "server/engine/ngram_drafter.h"
#include "server/engine/session.h"
#include "server/engine/slots.h"

namespace barista {

class Speculation {
 public:
  // tokens_max >= 1: of a draft.
  explicit Speculation(int32_t tokens_max);

  // The sequence goes on with this token; with these, of which the last NgramDrafter::kHistory matter.
  void Push(int32_t token) { drafter_.Push(token); }
  void Read(absl::Span<const int32_t> tokens);

  // Planning a step. Drafts up to `room` tokens after sequence.pending, as many as slots are free for, and returns how
  // many. Fewer than tokens_max while drafts turn out wrong.
  int32_t Draft(int64_t room, const Sequence& sequence, SlotTable& slots, StatePool& pool);
  // Laying it out: the first `count` drafted tokens become rows, after the sequence's own, the last of `segments`.
  void Extend(int32_t count, std::vector<Segment>& segments, std::vector<int32_t>& tokens);
  // The slot of the chain's row >= 1.
  int32_t slot(int32_t row) const { return loans_[row - 1].lease.slot(); }

  // Sampling. Whether `token`, drawn after the last row that holds, is the one that was drafted there.
  bool Expects(int32_t token) const { return accepted_ < verifying_ && draft_[accepted_] == token; }
  // It was drawn, and the sequence goes on. Where it was drafted the next row holds too, and `sequence` is behind that
  // now, without a pending token.
  void Accept(int32_t token, Sequence& sequence, SlotTable& slots);
  // Of this step: drafted tokens that are verified in it, and of these how many were accepted so far.
  int32_t verifying() const { return verifying_; }
  int32_t accepted() const { return accepted_; }

 private:
  // A slot on loan. Its rings hold the sequence's rows but for those of tokens [stale_begin, stale_end).
  struct Loan {
    SlotLease lease;
    int64_t stale_begin, stale_end;
  };

  const int32_t tokens_max_;
  int32_t length_;  // of the next draft
  NgramDrafter drafter_;
  std::vector<int32_t> draft_;
  std::vector<Loan> loans_;  // row r of the chain lies in loans_[r - 1]
  int32_t verifying_ = 0, accepted_ = 0;
};

}  // namespace barista

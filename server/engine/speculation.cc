#include "server/engine/speculation.h"

#include <algorithm>
#include <utility>

namespace barista {

Speculation::Speculation(int32_t tokens_max) : tokens_max_(tokens_max), length_(tokens_max) {
  draft_.reserve(tokens_max);
  loans_.reserve(tokens_max);
}

void Speculation::Read(absl::Span<const int32_t> tokens) {
  for (const int32_t token : tokens.last(std::min<size_t>(tokens.size(), NgramDrafter::kHistory))) Push(token);
}

int32_t Speculation::Draft(int64_t room, const Sequence& sequence, SlotTable& slots, StatePool& pool) {
  verifying_ = 0;
  drafter_.Draft(static_cast<int32_t>(std::clamp<int64_t>(room, 0, length_)), draft_);
  // Sequences that needed a slot have taken it back.
  loans_.erase(std::remove_if(loans_.begin(), loans_.end(), [](const Loan& loan) { return !loan.lease.holds(); }),
               loans_.end());
  while (loans_.size() < draft_.size()) {
    std::optional<SlotLease> lease = slots.Borrow();
    if (!lease) break;
    pool.Copy(lease->slot(), sequence.lease.slot());
    loans_.push_back({*std::move(lease), sequence.position, sequence.position});
  }
  if (draft_.size() > loans_.size()) draft_.resize(loans_.size());
  return static_cast<int32_t>(draft_.size());
}

void Speculation::Extend(int32_t count, std::vector<Segment>& segments, std::vector<int32_t>& tokens) {
  verifying_ = count;
  accepted_ = 0;
  const int64_t first = segments.back().position + 1;
  for (int32_t i = 0; i < count; ++i) {
    Loan& loan = loans_[i];
    loan.lease.AssertOwner();
    const int64_t position = first + i;
    segments.push_back({.slot = loan.lease.slot(),
                        .row = static_cast<int32_t>(tokens.size()),
                        .rows = 1,
                        .position = position,
                        .from = segments.back().slot,
                        .stale_begin = loan.stale_begin,
                        .stale_end = std::max(loan.stale_end, position)});
    tokens.push_back(draft_[i]);
    // As if none of the draft were right; what is right is copied once more then, and equal.
    loan.stale_begin = first;
    loan.stale_end = position + 1;
  }
}

void Speculation::Accept(int32_t token, Sequence& sequence, SlotTable& slots) {
  if (!Expects(token)) {
    length_ = accepted_ == verifying_ ? std::min(2 * length_, tokens_max_) : std::max(accepted_, 1);
    return;
  }
  Loan& loan = loans_[accepted_++];
  slots.Exchange(sequence.lease, loan.lease);
  loan.stale_begin = loan.stale_end = sequence.position;  // it holds the state before this token
  ++sequence.position;
  sequence.pending = -1;
}

}  // namespace barista

#include "server/engine/slots.h"

#include <algorithm>
#include <utility>

#include "absl/base/internal/raw_logging.h"

namespace barista {

SlotLease& SlotLease::operator=(SlotLease&& other) noexcept {
  std::swap(table_, other.table_);
  std::swap(slot_, other.slot_);
  std::swap(generation_, other.generation_);
  std::swap(loan_, other.loan_);
  return *this;
}

SlotLease::~SlotLease() {
  if (table_ != nullptr) table_->Release(*this);
}

bool SlotLease::holds() const { return table_ != nullptr && table_->generations_[slot_] == generation_; }

void SlotLease::AssertOwner() const { ABSL_RAW_CHECK(holds(), "a stale slot lease reached a batch"); }

SlotTable::SlotTable(StatePool& pool, bool poison) : pool_(pool), poison_(poison), generations_(pool.slots(), 0) {
  for (int32_t slot = pool.slots() - 1; slot >= 0; --slot) free_.push_back(slot);
}

std::optional<SlotLease> SlotTable::Acquire() {
  std::optional<SlotLease> lease = Take();
  if (lease) pool_.Init(lease->slot());
  return lease;
}

std::optional<SlotLease> SlotTable::AcquireCopy(const SlotLease& from) {
  from.AssertOwner();
  std::optional<SlotLease> lease = Take();
  if (lease) pool_.Copy(lease->slot(), from.slot());
  return lease;
}

std::optional<SlotLease> SlotTable::Take() {
  if (free_.empty() && loans_.empty()) return std::nullopt;
  std::vector<int32_t>& from = free_.empty() ? loans_ : free_;
  const int32_t slot = from.back();
  if (free_.empty()) ++generations_[slot];  // the loan ends
  from.pop_back();
  return SlotLease(this, slot, ++generations_[slot], false);
}

std::optional<SlotLease> SlotTable::Borrow() {
  if (free_.empty()) return std::nullopt;
  const int32_t slot = free_.back();
  free_.pop_back();
  loans_.push_back(slot);
  return SlotLease(this, slot, ++generations_[slot], true);
}

void SlotTable::Exchange(SlotLease& owned, SlotLease& loan) {
  owned.AssertOwner();
  loan.AssertOwner();
  ABSL_RAW_CHECK(!owned.loan_ && loan.loan_, "only an owned slot and a loan are exchanged");
  *std::find(loans_.begin(), loans_.end(), loan.slot_) = owned.slot_;
  std::swap(owned.slot_, loan.slot_);
  std::swap(owned.generation_, loan.generation_);
}

void SlotTable::Release(const SlotLease& lease) {
  if (lease.loan_) {
    if (!lease.holds()) return;  // taken back
    loans_.erase(std::find(loans_.begin(), loans_.end(), lease.slot_));
  }
  ABSL_RAW_CHECK(lease.holds() && lease.generation_ % 2 == 1, "a slot was released twice");
  ++generations_[lease.slot_];
  if (poison_) pool_.Poison(lease.slot_);
  free_.push_back(lease.slot_);
}

}  // namespace barista

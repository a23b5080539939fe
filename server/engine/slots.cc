#include "server/engine/slots.h"

#include <utility>

#include "absl/base/internal/raw_logging.h"

namespace barista {

SlotLease& SlotLease::operator=(SlotLease&& other) noexcept {
  std::swap(table_, other.table_);
  std::swap(slot_, other.slot_);
  std::swap(generation_, other.generation_);
  return *this;
}

SlotLease::~SlotLease() {
  if (table_ != nullptr) table_->Release(slot_, generation_);
}

void SlotLease::AssertOwner() const {
  ABSL_RAW_CHECK(table_ != nullptr && table_->generations_[slot_] == generation_, "a stale slot lease reached a batch");
}

SlotTable::SlotTable(StatePool& pool, bool poison) : pool_(pool), poison_(poison), generations_(pool.slots(), 0) {
  for (int32_t slot = pool.slots() - 1; slot >= 0; --slot) free_.push_back(slot);
}

std::optional<SlotLease> SlotTable::Acquire() {
  if (free_.empty()) return std::nullopt;
  const int32_t slot = free_.back();
  free_.pop_back();
  pool_.Init(slot);
  return SlotLease(this, slot, ++generations_[slot]);
}

void SlotTable::Release(int32_t slot, uint64_t generation) {
  ABSL_RAW_CHECK(generations_[slot] == generation && generation % 2 == 1, "a slot was released twice");
  ++generations_[slot];
  if (poison_) pool_.Poison(slot);
  free_.push_back(slot);
}

}  // namespace barista

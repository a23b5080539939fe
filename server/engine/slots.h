// Who owns which slot of the StatePool. A lease is the only way to hold a slot and its destructor the only way to give
// it back. The engine's thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "server/model/state.h"

namespace barista {

class SlotTable;

// Move-only ownership of one slot.
class SlotLease {
 public:
  SlotLease() = default;
  SlotLease(SlotLease&& other) noexcept { *this = std::move(other); }
  SlotLease& operator=(SlotLease&& other) noexcept;
  ~SlotLease();

  int32_t slot() const { return slot_; }  // -1: holds none
  // Dies where the slot has another owner by now: a stale lease must never reach a batch.
  void AssertOwner() const;

 private:
  friend class SlotTable;
  SlotLease(SlotTable* table, int32_t slot, uint64_t generation)
      : table_(table), slot_(slot), generation_(generation) {}

  SlotTable* table_ = nullptr;
  int32_t slot_ = -1;
  uint64_t generation_ = 0;
};

class SlotTable {
 public:
  // poison: fill freed slots with NaN, so that a read of one shows at once (checked builds, tests).
  SlotTable(StatePool& pool, bool poison);

  // An empty session's slot, initialised now; nullopt where none is free.
  std::optional<SlotLease> Acquire();
  int32_t total() const { return static_cast<int32_t>(generations_.size()); }
  int32_t used() const { return total() - static_cast<int32_t>(free_.size()); }
  int32_t available() const { return static_cast<int32_t>(free_.size()); }

 private:
  friend class SlotLease;
  void Release(int32_t slot, uint64_t generation);

  StatePool& pool_;
  const bool poison_;
  std::vector<int32_t> free_;
  std::vector<uint64_t> generations_;  // odd: leased
};

}  // namespace barista

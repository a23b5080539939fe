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
  // False: it holds no slot, or a loan that was taken back.
  bool holds() const;
  // Dies where the slot has another owner by now: a stale lease must never reach a batch.
  void AssertOwner() const;

 private:
  friend class SlotTable;
  SlotLease(SlotTable* table, int32_t slot, uint64_t generation, bool loan)
      : table_(table), slot_(slot), generation_(generation), loan_(loan) {}

  SlotTable* table_ = nullptr;
  int32_t slot_ = -1;
  uint64_t generation_ = 0;
  bool loan_ = false;
};

class SlotTable {
 public:
  // poison: fill freed slots with NaN, so that a read of one shows at once (checked builds, tests).
  SlotTable(StatePool& pool, bool poison);

  // An empty session's slot, initialised now; nullopt where none is available.
  std::optional<SlotLease> Acquire();
  // The same with a copy of the state in `from`: one copy of slot_bytes.
  std::optional<SlotLease> AcquireCopy(const SlotLease& from);

  // A free slot on loan, its content undefined: it stays available, and Acquire takes the latest loan back where no
  // other slot is free. nullopt where none is free.
  std::optional<SlotLease> Borrow();
  // The two leases exchange their slots: `owned` still owns, `loan` is still a loan. Both hold.
  void Exchange(SlotLease& owned, SlotLease& loan);

  int32_t total() const { return static_cast<int32_t>(generations_.size()); }
  int32_t used() const { return total() - available(); }
  int32_t available() const { return static_cast<int32_t>(free_.size() + loans_.size()); }

 private:
  friend class SlotLease;
  std::optional<SlotLease> Take();  // content undefined
  void Release(const SlotLease& lease);

  StatePool& pool_;
  const bool poison_;
  std::vector<int32_t> free_;
  std::vector<int32_t> loans_;         // slots on loan, in order
  std::vector<uint64_t> generations_;  // odd: leased
};

}  // namespace barista

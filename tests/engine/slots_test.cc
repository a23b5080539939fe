// Slots on loan: nobody who needs a slot waits for one.
#include "server/engine/slots.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/loaded_model.h"

namespace barista {
namespace {

class SlotsTest : public testing::Test {
 protected:
  LoadedModel m_ = LoadedModel::Load("tests/golden/variants/macchiato-rglru", {.kind = "cpu", .threads = 1}, {}, 3);
  SlotTable slots_{*m_.pool, true};
};

TEST_F(SlotsTest, ALoanStaysAvailable) {
  const SlotLease owned = *slots_.Acquire();
  std::optional<SlotLease> loan = slots_.Borrow();
  ASSERT_TRUE(loan && loan->holds());
  EXPECT_NE(loan->slot(), owned.slot());
  EXPECT_EQ(slots_.used(), 1);
  EXPECT_EQ(slots_.available(), 2);
  loan.reset();
  EXPECT_EQ(slots_.available(), 2);
}

TEST_F(SlotsTest, LoansAreTakenBackLatestFirstWhereNoSlotIsFree) {
  const SlotLease first = *slots_.Borrow(), second = *slots_.Borrow();
  const SlotLease a = *slots_.Acquire();
  EXPECT_TRUE(first.holds() && second.holds());
  EXPECT_FALSE(slots_.Borrow());
  const SlotLease b = *slots_.Acquire();
  EXPECT_TRUE(first.holds());
  EXPECT_FALSE(second.holds());
  EXPECT_EQ(b.slot(), second.slot());
  const SlotLease c = *slots_.Acquire();
  EXPECT_FALSE(first.holds());
  EXPECT_FALSE(slots_.Acquire());
  EXPECT_EQ(slots_.used(), 3);
}

TEST_F(SlotsTest, AnExchangeMovesTheSlotsAndNotWhoOwns) {
  SlotLease owned = *slots_.Acquire();
  std::vector<SlotLease> loans;
  loans.push_back(*slots_.Borrow());
  loans.push_back(*slots_.Borrow());
  const int32_t before = owned.slot(), lent = loans[1].slot();
  slots_.Exchange(owned, loans[1]);
  EXPECT_EQ(owned.slot(), lent);
  EXPECT_EQ(loans[1].slot(), before);
  EXPECT_EQ(slots_.used(), 1);
  const SlotLease taken = *slots_.Acquire();
  EXPECT_EQ(taken.slot(), before);
  EXPECT_TRUE(owned.holds() && loans[0].holds());
  EXPECT_FALSE(loans[1].holds());
  loans.clear();
  EXPECT_EQ(slots_.available(), 1);
}

}  // namespace
}  // namespace barista

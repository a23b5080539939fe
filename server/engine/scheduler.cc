#include "server/engine/scheduler.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "kernels/view.h"

namespace barista {
namespace {

// One tenant's part in the step that is being planned.
struct Lot {
  double weight;
  double credit;
  int32_t next = 0, end = 0;  // of its candidates
  int32_t prompt = -1;        // its oldest prompt that is not read to the end yet
  bool reads = false;         // a cut of it is paid for
  double owed() const { return credit / weight; }
};

// Of a prompt's next tokens, those up to the next place where it may be cut.
int64_t CutOf(const Runnable& r, int64_t taken) {
  return std::min(r.prompt_left - taken, kChunk - (r.position + taken) % kChunk);
}

class Planner {
 public:
  Planner(absl::Span<const Runnable> runnables, absl::Span<const Share> shares, const StepBudget& budget)
      : runnables_(runnables), budget_(budget), taken_(runnables.size(), 0) {
    for (const Share& share : shares) lots_.push_back({share.weight, share.credit});
    if (lots_.empty()) lots_.push_back({1, Share().credit});
    if (lots_.size() == 1) lots_[0].credit = Share().credit;
    for (int32_t i = 0; i < static_cast<int32_t>(runnables.size()); ++i) {
      const Runnable& r = runnables[i];
      if (r.paused) continue;
      int32_t& prompt = lots_[r.tenant].prompt;
      if (r.prompt_left == 0) {
        ++decoding_;
      } else if (prompt >= 0) {
        continue;  // after the older one
      } else {
        prompt = i;
        reading_ = true;
      }
      candidates_.push_back(i);
    }
    std::stable_sort(candidates_.begin(), candidates_.end(), [&](int32_t a, int32_t b) {
      return std::pair(runnables[a].tenant, runnables[a].last) < std::pair(runnables[b].tenant, runnables[b].last);
    });
    for (int32_t i = 0; i < static_cast<int32_t>(candidates_.size()); ++i) {
      Lot& lot = lots_[runnables[candidates_[i]].tenant];
      if (lot.end == 0) lot.next = i;
      lot.end = i + 1;
    }
    for (Lot& lot : lots_) turns_.push_back(&lot);
    std::stable_sort(turns_.begin(), turns_.end(), [](const Lot* a, const Lot* b) { return a->owed() > b->owed(); });
  }

  void Plan(std::vector<Scheduled>& plan) {
    // One cut of a prompt always fits, however many sequences decode.
    const int64_t decodes_max = budget_.rows_max - (reading_ ? kChunk : 0);
    for (bool more = true; more;) {
      more = false;
      for (Lot* lot : turns_) more = (rows_ < decodes_max && TakeDecode(*lot)) || more;
    }
    for (Lot* lot : turns_) {  // the rows are given away; a prompt wants none of them
      if (lot->next < lot->end && lot->prompt >= 0 && lot->credit > 0) lot->reads = true;
    }
    TakeDrafts(std::max<int64_t>(decodes_max - decoding_, 0));
    TakePrompts(decoding_ > 0 ? std::min(budget_.prefill_tokens, budget_.rows_max - rows_) : budget_.rows_max);
    for (const bool prefill : {false, true}) {
      for (int32_t i = 0; i < static_cast<int32_t>(runnables_.size()); ++i) {
        if (taken_[i] > 0 && (runnables_[i].prompt_left > 0) == prefill) plan.push_back({i, taken_[i], prefill});
      }
    }
  }

 private:
  // The next sequence of the tenant that decodes; a prompt that has waited longer gets its cut paid first.
  bool TakeDecode(Lot& lot) {
    while (lot.next < lot.end && lot.credit > 0) {
      const int32_t index = candidates_[lot.next++];
      const Runnable& r = runnables_[index];
      lot.credit -= r.prompt_left > 0 ? budget_.token_seconds * CutOf(r, 0) : budget_.row_seconds;
      if (r.prompt_left > 0) {
        lot.reads = true;
        continue;
      }
      taken_[index] = 1;
      ++rows_;
      return true;
    }
    return false;
  }

  void TakeDrafts(int64_t spare) {
    for (int32_t i = 0; i < static_cast<int32_t>(runnables_.size()); ++i) {
      const Runnable& r = runnables_[i];
      Lot& lot = lots_[r.tenant];
      if (taken_[i] == 0 || r.draft == 0 || lot.credit <= 0) continue;
      int64_t draft = std::min<int64_t>(r.draft, spare);
      if (draft * budget_.row_seconds > lot.credit) draft = static_cast<int64_t>(lot.credit / budget_.row_seconds);
      lot.credit -= draft * budget_.row_seconds;
      taken_[i] += static_cast<int32_t>(draft);
      rows_ += draft;
      spare -= draft;
    }
  }

  // Cut by cut, each to the tenant that is owed most. None slips past one that does not fit.
  void TakePrompts(int64_t tokens) {
    while (true) {
      Lot* owed = nullptr;
      for (Lot* lot : turns_) {
        const bool may = lot->reads || lot->credit > 0 || decoding_ == 0;
        if (lot->prompt >= 0 && may && (owed == nullptr || lot->owed() > owed->owed())) owed = lot;
      }
      if (owed == nullptr) return;
      const Runnable& r = runnables_[owed->prompt];
      const int64_t cut = CutOf(r, taken_[owed->prompt]);
      if (cut > tokens) return;
      if (!owed->reads) owed->credit -= budget_.token_seconds * cut;
      owed->reads = false;
      tokens -= cut;
      taken_[owed->prompt] += static_cast<int32_t>(cut);
      if (taken_[owed->prompt] == r.prompt_left) owed->prompt = NextPrompt(owed->prompt);
    }
  }

  int32_t NextPrompt(int32_t after) const {
    for (int32_t i = after + 1; i < static_cast<int32_t>(runnables_.size()); ++i) {
      const Runnable& r = runnables_[i];
      if (!r.paused && r.prompt_left > 0 && r.tenant == runnables_[after].tenant) return i;
    }
    return -1;
  }

  const absl::Span<const Runnable> runnables_;
  const StepBudget& budget_;
  absl::InlinedVector<int32_t, 64> taken_;       // tokens, beside runnables_
  absl::InlinedVector<int32_t, 64> candidates_;  // of one tenant after the other, the longest waiting first
  absl::InlinedVector<Lot, 16> lots_;
  absl::InlinedVector<Lot*, 16> turns_;  // the most owed first
  int64_t rows_ = 0, decoding_ = 0;
  bool reading_ = false;
};

}  // namespace

void Schedule(absl::Span<const Runnable> runnables, absl::Span<const Share> shares, const StepBudget& budget,
              std::vector<Scheduled>& plan) {
  plan.clear();
  Planner(runnables, shares, budget).Plan(plan);
}

void PrefillPace::Observe(double seconds, int64_t decodes, int64_t prefill_tokens) {
  constexpr double kNew = 0.25;  // weight of the newest step
  if (prefill_tokens == 0) {
    decode_seconds_ = decode_seconds_ == 0 ? seconds : decode_seconds_ + kNew * (seconds - decode_seconds_);
    ObserveRows(static_cast<double>(decodes), seconds);
  } else {
    const double share = std::max(seconds - (decodes > 0 ? decode_seconds_ : 0), 0.1 * seconds) / prefill_tokens;
    token_seconds_ = token_seconds_ == 0 ? share : token_seconds_ + kNew * (share - token_seconds_);
  }
}

void PrefillPace::ObserveRows(double rows, double seconds) {
  constexpr double kNew = 0.01;  // steps of some seconds tell the slope
  const double weight = rows_ == 0 ? 1 : kNew;
  rows_ += weight * (rows - rows_);
  seconds_ += weight * (seconds - seconds_);
  rows_rows_ += weight * (rows * rows - rows_rows_);
  rows_seconds_ += weight * (rows * seconds - rows_seconds_);
  const double whole = seconds_ / rows_, variance = rows_rows_ - rows_ * rows_;
  if (row_seconds_ == 0) row_seconds_ = whole;
  if (variance < 0.25) return;  // nearly all of one size: what was known holds
  row_seconds_ = std::clamp((rows_seconds_ - rows_ * seconds_) / variance, 0.01 * whole, whole);
}

int64_t PrefillPace::Tokens(int64_t decodes) const {
  if (decodes == 0) return tokens_max_;
  if (token_seconds_ == 0) return kChunk;
  const double tokens = std::max(target_ - decode_seconds_, 0.0) / token_seconds_;
  const int64_t cuts = static_cast<int64_t>(std::min(tokens, static_cast<double>(tokens_max_))) / kChunk;
  return std::clamp(cuts * kChunk, kChunk, std::max(tokens_max_, kChunk));
}

}  // namespace barista

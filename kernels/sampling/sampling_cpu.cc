// Vectorised passes over the row instead of sorts: find the largest logit, weigh, cut, draw. A filter's cut compacts
// the candidates, so that what follows top_k = 40 touches 40 of them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sampling/adjust.h"
#include "kernels/sampling/row_passes.h"
#include "kernels/sampling/sampling.h"
#include "kernels/sampling/select.h"

namespace barista {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The working arrays of a thread; they grow to its longest row.
struct Workspace {
  std::vector<float> weights;
  std::vector<float> keys;
  std::vector<float> logits;
  std::vector<int32_t> ids;
  SelectScratch select;

  void Fit(int64_t vocab) {
    if (static_cast<int64_t>(weights.size()) >= vocab) return;
    weights.resize(vocab);
    keys.resize(vocab);
    logits.resize(vocab);
    ids.resize(vocab);
  }
};

Workspace& ThreadWorkspace() {
  thread_local Workspace workspace;
  return workspace;
}

// What is left of a row, ids ascending. Before the first cut it is the row itself: no ids, the caller's logits.
class Candidates {
 public:
  Candidates(const float* logits, int64_t vocab, float largest, float temperature, Workspace& workspace)
      : work_(workspace), logits_(logits), size_(vocab), largest_(largest), temperature_(temperature) {}

  void KeepLargest(int64_t k) {
    if (k >= size_) return;
    SelectScratch& select = work_.select;
    SelectLargest(logits_, size_, k, select);
    for (int64_t i = 0; i < k; ++i) select.kept[i] = select.entries[i].index;
    std::sort(select.kept.begin(), select.kept.begin() + k);
    Compact(k);
  }

  // Sets the weights, exp((logit - largest) / temperature), of logits >= cut, and 0 below.
  void Weigh(float cut) {
    // A tiny temperature must not make 0 * inf of the largest logit.
    const float scale = std::min(1 / temperature_, std::numeric_limits<float>::max());
    Passes().weights(logits_, size_, largest_, scale, cut, work_.weights.data());
  }

  void KeepTypical(double share) {
    const double total = Total();
    const double mean = Passes().weighted_offset(logits_, work_.weights.data(), size_, largest_) / total;
    const float centre = static_cast<float>(largest_ + mean);
    Passes().negative_distance(logits_, size_, centre, work_.keys.data());
    const double lowest = largest_ - Reach(share);
    const double farthest = std::max<double>(largest_ - centre, centre - lowest);
    KeepMass(work_.keys.data(), share * total, -farthest);
  }

  // `best`: the largest remaining logit.
  void KeepTop(double share, float best) { KeepMass(logits_, share * Total(), best - Reach(share)); }

  float Largest() const { return Passes().max(logits_, size_).value; }

  // Zeroes the weights of logits below `cut`.
  void DropBelow(float cut) {
    for (int64_t i = 0; i < size_; ++i) {
      if (logits_[i] < cut) work_.weights[i] = 0;
    }
  }

  // The first id at which the weights, summed by ascending id, exceed u of their total.
  int32_t Draw(double u) const {
    const float* weights = work_.weights.data();
    const double target = u * Total();
    double sum = 0;
    int64_t block = 0;  // the one the draw falls in; where rounding puts it past the end, the last that weighs anything
    double before = 0;
    for (int64_t next = 0; next < size_ && sum <= target; next += kSumBlock) {
      const double block_sum = Passes().sum(weights + next, std::min(kSumBlock, size_ - next));
      if (block_sum == 0) continue;
      block = next;
      before = sum;
      sum += block_sum;
    }
    int64_t drawn = block;
    sum = before;
    for (int64_t i = block; i < std::min(size_, block + kSumBlock) && sum <= target; ++i) {
      if (weights[i] == 0) continue;
      drawn = i;
      sum += static_cast<double>(weights[i]);
    }
    return IdOf(drawn);
  }

 private:
  int32_t IdOf(int64_t i) const { return compacted_ ? work_.ids[i] : static_cast<int32_t>(i); }

  double Total() const { return Passes().sum(work_.weights.data(), size_); }

  // How far below the largest logit everything together weighs less than what `share` leaves: n tokens there weigh at
  // most n * exp(-reach / temperature) of the largest one's weight. One unit of slack for rounding.
  double Reach(double share) const {
    return temperature_ * (std::log(static_cast<double>(size_) / std::max(1 - share, 1e-12)) + 1);
  }

  void KeepMass(const float* key, double target, double low) {
    const float finite_low = static_cast<float>(std::max(low, -double{std::numeric_limits<float>::max()}));
    const float high = Passes().max(key, size_).value;
    const MassQuery query{key, work_.weights.data(), size_, target, std::min(finite_low, high), high};
    Compact(SelectMass(query, work_.select));
  }

  // Keeps the first `count` of select.kept. In place: what is written was read before, indices ascend.
  void Compact(int64_t count) {
    const std::vector<int32_t>& kept = work_.select.kept;
    for (int64_t i = 0; i < count; ++i) {
      work_.ids[i] = IdOf(kept[i]);
      work_.logits[i] = logits_[kept[i]];
      work_.weights[i] = work_.weights[kept[i]];
    }
    logits_ = work_.logits.data();
    size_ = count;
    compacted_ = true;
  }

  Workspace& work_;
  const float* logits_;
  int64_t size_;
  float largest_;
  float temperature_;
  bool compacted_ = false;
};

int32_t DrawRow(const float* logits, int64_t vocab, float largest, const SampleRow& row) {
  const SamplingParams& p = *row.params;
  Workspace& workspace = ThreadWorkspace();
  workspace.Fit(vocab);
  Candidates candidates(logits, vocab, largest, p.temperature, workspace);
  const bool by_mass = p.typical_p < 1 || p.top_p < 1;
  if (p.top_k > 0) candidates.KeepLargest(p.top_k);
  candidates.Weigh(by_mass ? std::numeric_limits<float>::lowest() : MinPCut(largest, p));
  if (p.typical_p < 1) candidates.KeepTypical(p.typical_p);
  if (p.top_p < 1) candidates.KeepTop(p.top_p, candidates.Largest());
  if (by_mass && p.min_p > 0) candidates.DropBelow(MinPCut(candidates.Largest(), p));
  return candidates.Draw(UniformAt(p.seed, row.choice, row.position));
}

}  // namespace

SampleResult SampleCpu(const float* logits, int64_t vocab, const SampleRow& row, float* scratch) {
  const float* z = logits;
  bool edits_finite = true;
  if (NeedsAdjust(row)) {
    std::copy(logits, logits + vocab, scratch);
    edits_finite = Adjust(scratch, vocab, row);
    z = scratch;
  }
  const RowMax largest = Passes().max(z, vocab);
  SampleResult result;
  if (!edits_finite || !largest.finite || largest.value == -kInfinity) {
    result.finite = false;
    return result;
  }
  result.token =
      row.params->temperature == 0 ? static_cast<int32_t>(largest.index) : DrawRow(z, vocab, largest.value, row);
  if (row.top_logprobs < 0) return result;
  return LogprobsCpu(logits, vocab, result.token, row.top_logprobs);
}

SampleResult LogprobsCpu(const float* logits, int64_t vocab, int32_t target, int32_t k) {
  SampleResult result;
  const RowMax largest = Passes().max(logits, vocab);
  if (!largest.finite || largest.value == -kInfinity) {
    result.finite = false;
    return result;
  }
  const double log_total = std::log(Passes().exp_sum(logits, vocab, largest.value)) + largest.value;
  result.token = target;
  result.logprob = static_cast<float>(logits[target] - log_total);
  const int64_t count = std::min<int64_t>(k, vocab);
  if (count <= 0) return result;
  SelectScratch& select = ThreadWorkspace().select;
  SelectLargest(logits, vocab, count, select);
  result.top.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    const SelectScratch::Entry& e = select.entries[i];
    result.top.push_back({e.index, static_cast<float>(e.key - log_total)});
  }
  return result;
}

}  // namespace barista

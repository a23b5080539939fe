// The definition, in the order of the header, with whole sorts and double sums.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/sampling/adjust.h"
#include "kernels/sampling/sampling.h"

namespace barista {
namespace {

// The remaining tokens of a row, ids ascending.
template <class T>
struct Remaining {
  std::vector<int32_t> ids;
  std::vector<T> logits;
  std::vector<double> weights;  // exp((logit - largest) / temperature)

  size_t size() const { return ids.size(); }
  double Total() const { return std::accumulate(weights.begin(), weights.end(), 0.0); }

  // Indices by `key`, largest first; ties by lowest id.
  std::vector<size_t> Order(const std::vector<T>& key) const {
    std::vector<size_t> order(size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key[a] > key[b]; });
    return order;
  }

  // Keeps the listed indices.
  void Keep(std::vector<size_t> kept) {
    std::sort(kept.begin(), kept.end());
    Remaining out;
    for (const size_t i : kept) {
      out.ids.push_back(ids[i]);
      out.logits.push_back(logits[i]);
      out.weights.push_back(weights[i]);
    }
    *this = std::move(out);
  }

  // Keeps the shortest beginning of `order` that holds `share` of the weight.
  void KeepMass(std::vector<size_t> order, double share) {
    const double target = share * Total();
    double sum = 0;
    size_t count = 0;
    while (count < order.size() && sum < target) sum += weights[order[count++]];
    order.resize(std::max<size_t>(count, 1));
    Keep(std::move(order));
  }
};

template <class T>
bool AllBelowInfinity(const T* logits, int64_t count) {
  return std::all_of(logits, logits + count, [](T z) { return z < std::numeric_limits<T>::infinity(); });
}

// Empty: not finite, or nothing left.
template <class T>
std::vector<T> Adjusted(const T* logits, int64_t vocab, const SampleRow& row) {
  std::vector<T> z(logits, logits + vocab);
  if (!AllBelowInfinity(logits, vocab) || !Adjust(z.data(), vocab, row) || !AllBelowInfinity(z.data(), vocab) ||
      *std::max_element(z.begin(), z.end()) == -std::numeric_limits<T>::infinity()) {
    z.clear();
  }
  return z;
}

template <class T>
Remaining<T> Filter(const std::vector<T>& z, const SamplingParams& p) {
  Remaining<T> rest;
  for (size_t i = 0; i < z.size(); ++i) {
    if (z[i] == -std::numeric_limits<T>::infinity()) continue;
    rest.ids.push_back(static_cast<int32_t>(i));
    rest.logits.push_back(z[i]);
  }
  const double largest = *std::max_element(rest.logits.begin(), rest.logits.end());
  for (const T logit : rest.logits) rest.weights.push_back(std::exp((logit - largest) / p.temperature));

  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < rest.size()) {
    std::vector<size_t> order = rest.Order(rest.logits);
    order.resize(p.top_k);
    rest.Keep(std::move(order));
  }
  if (p.typical_p < 1) {
    // |-log p - H| = |logit - mean| / temperature, the mean under p: both lack the same log of the total.
    double mean = 0;
    for (size_t i = 0; i < rest.size(); ++i) mean += rest.weights[i] * (rest.logits[i] - largest);
    const T centre = static_cast<T>(largest + mean / rest.Total());
    std::vector<T> key;
    for (const T logit : rest.logits) key.push_back(-std::abs(logit - centre));
    rest.KeepMass(rest.Order(key), p.typical_p);
  }
  if (p.top_p < 1) rest.KeepMass(rest.Order(rest.logits), p.top_p);
  if (p.min_p > 0) {
    const T cut = MinPCut(*std::max_element(rest.logits.begin(), rest.logits.end()), p);
    std::vector<size_t> kept;
    for (size_t i = 0; i < rest.size(); ++i) {
      if (rest.logits[i] >= cut) kept.push_back(i);
    }
    rest.Keep(std::move(kept));
  }
  return rest;
}

}  // namespace

template <class T>
std::vector<double> DistributionRef(const T* logits, int64_t vocab, const SampleRow& row) {
  const std::vector<T> z = Adjusted(logits, vocab, row);
  std::vector<double> probabilities(z.size(), 0.0);
  if (z.empty()) return probabilities;
  if (row.params->temperature == 0) {
    probabilities[std::max_element(z.begin(), z.end()) - z.begin()] = 1;  // the first of equals
    return probabilities;
  }
  const Remaining<T> rest = Filter(z, *row.params);
  const double total = rest.Total();
  for (size_t i = 0; i < rest.size(); ++i) probabilities[rest.ids[i]] = rest.weights[i] / total;
  return probabilities;
}

template <class T>
SampleResult SampleRef(const T* logits, int64_t vocab, const SampleRow& row) {
  SampleResult result;
  const std::vector<double> probabilities = DistributionRef(logits, vocab, row);
  if (probabilities.empty()) {
    result.finite = false;
    return result;
  }
  const double u = UniformAt(row.params->seed, row.choice, row.position);
  double sum = 0;
  for (int64_t i = 0; i < vocab && sum <= u; ++i) {
    if (probabilities[i] > 0) result.token = static_cast<int32_t>(i);
    sum += probabilities[i];
  }
  if (row.top_logprobs < 0) return result;
  SampleResult logprobs = LogprobsRef(logits, vocab, result.token, row.top_logprobs);
  logprobs.token = result.token;
  return logprobs;
}

template <class T>
SampleResult LogprobsRef(const T* logits, int64_t vocab, int32_t target, int32_t k) {
  SampleResult result;
  result.token = target;
  const T largest = *std::max_element(logits, logits + vocab);
  if (!AllBelowInfinity(logits, vocab) || largest == -std::numeric_limits<T>::infinity()) {
    result.token = -1;
    result.finite = false;
    return result;
  }
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]) - largest);
  const double log_total = std::log(sum) + largest;
  std::vector<int32_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  order.resize(std::min<int64_t>(vocab, k));
  for (const int32_t id : order) result.top.push_back({id, static_cast<float>(logits[id] - log_total)});
  result.logprob = static_cast<float>(logits[target] - log_total);
  return result;
}

template std::vector<double> DistributionRef(const float*, int64_t, const SampleRow&);
template std::vector<double> DistributionRef(const double*, int64_t, const SampleRow&);
template SampleResult SampleRef(const float*, int64_t, const SampleRow&);
template SampleResult SampleRef(const double*, int64_t, const SampleRow&);
template SampleResult LogprobsRef(const float*, int64_t, int32_t, int32_t);
template SampleResult LogprobsRef(const double*, int64_t, int32_t, int32_t);

}  // namespace barista

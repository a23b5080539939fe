// From a row of logits to a token, a block a row. Bytes: 4 a logit and pass, from L2 after the first: two passes for
// the largest, one a total, four a selection (eight where keys are equal), about two for the draw.
//
// A token weighs floor(e^((z - largest) / T) 2^b), an integer of b bits, so many that all of a row sum below 2^62. Sums
// of integers do not depend on their order, so a draw is exact and atomics are allowed.
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/sampling/philox.h"
#include "kernels/sampling/sample_lists_cuda.cuh"
#include "kernels/sampling/sample_row_cuda.h"
#include "kernels/sampling/select_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 512;

struct RowScratch {
  Histogram histogram;
  unsigned long long parts[32];
  double sums[32];
  int32_t ids[kDeviceTopMax];
  float logits[kDeviceTopMax];
  uint32_t found;
};

struct Best {
  float logit;
  int32_t id;
  bool finite;  // no NaN, no +inf, something left
};

__device__ bool BelowInfinity(float z) { return z < kInfinity; }

// f(id, logit) of all of a row, 16 bytes a load where rows begin at multiples of that.
template <class F>
__device__ void ForEachLogit(const float* z, int64_t vocab, const F& f) {
  if (vocab % 4 != 0) {
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < vocab; i += kThreads) f(i, z[i]);
    return;
  }
#pragma unroll 8
  for (int64_t i = 4 * threadIdx.x; i < vocab; i += 4 * kThreads) {
    const float4 four = *reinterpret_cast<const float4*>(z + i);
    f(i, four.x);
    f(i + 1, four.y);
    f(i + 2, four.z);
    f(i + 3, four.w);
  }
}

// Largest logit, the lowest of equal ids.
__device__ Best FindBest(const float* z, int64_t vocab, RowScratch& s) {
  unsigned long long best = 0;
  bool broken = false;
  ForEachLogit(z, vocab, [&](int64_t i, float logit) {
    broken = broken || !BelowInfinity(logit);
    const unsigned long long rank =
        static_cast<unsigned long long>(Ordered(logit)) << 32 | (0xffffffffu - static_cast<uint32_t>(i));
    if (rank > best) best = rank;
  });
  const auto larger = [](unsigned long long a, unsigned long long b) { return a > b ? a : b; };
  best = BlockReduce(best, larger, s.parts);
  broken = __syncthreads_or(broken);
  const int32_t id = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(best));
  const float logit = broken ? 0.0f : z[id];
  return {logit, id, !broken && logit > -kInfinity};
}

// Bias, penalties, mask, in place. False where an edit would hide a NaN or +inf.
__device__ bool Adjust(float* z, const DeviceSampleRow& row, const DeviceSampleLists& lists) {
  bool finite = true;
  for (int32_t i = threadIdx.x; i < row.biases; i += kThreads) {
    const IdBias b = ListAt<IdBias>(lists, lists.biases)[row.biases_begin + i];
    finite = finite && BelowInfinity(z[b.id]);
    z[b.id] += b.bias;
  }
  __syncthreads();
  for (int32_t i = threadIdx.x; i < row.counts; i += kThreads) {
    const TokenCount seen = ListAt<TokenCount>(lists, lists.counts)[row.counts_begin + i];
    float x = z[seen.id];
    const float r = row.repetition_penalty;
    if (r != 1 && (seen.in_prompt || seen.in_output > 0)) x = x > 0 ? x / r : x * r;
    if (seen.in_output > 0) {
      x -= row.presence_penalty;
      x -= row.frequency_penalty * static_cast<float>(seen.in_output);
    }
    z[seen.id] = x;
  }
  __syncthreads();
  for (int32_t i = threadIdx.x; i < row.forbidden; i += kThreads) {
    float& x = z[ListAt<int32_t>(lists, lists.forbidden)[row.forbidden_begin + i]];
    finite = finite && BelowInfinity(x);
    x = -kInfinity;
  }
  return !__syncthreads_or(!finite);
}

// What is left of a row, filter after filter.
class Candidates {
 public:
  __device__ Candidates(const float* z, int64_t vocab, float largest, float temperature, RowScratch& s)
      : s_(s), z_(z), vocab_(vocab), largest_(largest), temperature_(temperature) {
    scale_ = fminf(1.0f / temperature, 3.40282347e38f);  // a tiny temperature must not make 0 * inf of the largest
    int bits = 62;
    for (int64_t n = vocab; n > 1; n = (n + 1) / 2) --bits;
    one_ = std::bit_cast<float>(static_cast<uint32_t>(bits + 127) << 23);
  }

  __device__ void KeepLargest(int32_t k) {
    if (k >= vocab_) return;
    const Cut cut = Select(vocab_, static_cast<unsigned long long>(k), s_.histogram,
                           [&](int32_t i, uint32_t& key, unsigned long long& mass) {
                             key = Ordered(z_[i]);
                             mass = 1;
                             return true;
                           });
    by_rank_ = cut;
  }
  __device__ void KeepTypical(float share) {
    const unsigned long long total = Total();
    double offset = 0;
    for (int64_t i = threadIdx.x; i < vocab_; i += kThreads) {
      const unsigned long long mass = Mass(static_cast<int32_t>(i));
      if (mass > 0) offset += static_cast<double>(mass) * static_cast<double>(z_[i] - largest_);
    }
    offset = BlockReduce(offset, Sum(), s_.sums) / static_cast<double>(total);
    const float centre = static_cast<float>(static_cast<double>(largest_) + offset);
    const Cut cut =
        Select(vocab_, Share(share, total), s_.histogram, [&](int32_t i, uint32_t& key, unsigned long long& mass) {
          key = Ordered(-fabsf(z_[i] - centre));
          mass = Mass(i);
          return true;
        });
    typical_ = cut;
    centre_ = centre;
    by_typical_ = true;
  }
  __device__ void KeepTop(float share) {
    const Cut cut =
        Select(vocab_, Share(share, Total()), s_.histogram, [&](int32_t i, uint32_t& key, unsigned long long& mass) {
          key = Ordered(z_[i]);
          mass = Mass(i);
          return true;
        });
    by_mass_ = cut;
  }
  // Drops what is less likely than min_p times the best that is left.
  __device__ void KeepLikely(float min_p) {
    float best = -kInfinity;
    for (int64_t i = threadIdx.x; i < vocab_; i += kThreads) {
      if (Mass(static_cast<int32_t>(i)) > 0) best = fmaxf(best, z_[i]);
    }
    best = BlockReduce(best, Largest(), reinterpret_cast<float*>(s_.sums));
    const double cut = static_cast<double>(best) + static_cast<double>(temperature_) * log(static_cast<double>(min_p));
    lowest_ = static_cast<float>(fmax(cut, -3.40282347e38));
  }
  __device__ int32_t Draw(uint64_t uniform_bits) {
    const unsigned long long target = __umul64hi(uniform_bits << 11, Total());  // floor(u total)
    return FindByMass(vocab_, target, s_.parts, [&](int32_t i) { return Mass(i); });
  }

 private:
  __device__ unsigned long long Mass(int32_t i) const {
    const float z = z_[i];
    const uint32_t key = Ordered(z);
    if (!by_rank_.Keeps(key, i) || !by_mass_.Keeps(key, i) || z < lowest_) return 0;
    if (by_typical_ && !typical_.Keeps(Ordered(-fabsf(z - centre_)), i)) return 0;
    return static_cast<unsigned long long>(expf((z - largest_) * scale_) * one_);
  }
  __device__ unsigned long long Total() {
    unsigned long long sum = 0;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < vocab_; i += kThreads) sum += Mass(static_cast<int32_t>(i));
    return BlockReduce(sum, Sum(), s_.parts);
  }
  __device__ static unsigned long long Share(float share, unsigned long long total) {
    const double wanted = ceil(static_cast<double>(share) * static_cast<double>(total));
    return min(max(static_cast<unsigned long long>(wanted), 1ull), total);
  }

  RowScratch& s_;
  const float* z_;
  int64_t vocab_;
  float largest_, temperature_, scale_, one_;
  Cut by_rank_, typical_, by_mass_;
  float centre_ = 0;
  bool by_typical_ = false;
  float lowest_ = -kInfinity;
};

__device__ int32_t DrawToken(const float* z, int64_t vocab, float largest, const DeviceSampleRow& row, RowScratch& s) {
  Candidates candidates(z, vocab, largest, row.temperature, s);
  if (row.top_k > 0) candidates.KeepLargest(row.top_k);
  if (row.typical_p < 1) candidates.KeepTypical(row.typical_p);
  if (row.top_p < 1) candidates.KeepTop(row.top_p);
  if (row.min_p > 0) candidates.KeepLikely(row.min_p);
  return candidates.Draw(UniformBits(row.seed, row.choice, row.position));
}

// Log-probability of `id` under the raw logits, and the k largest.
__device__ void Logprobs(const float* z, int64_t vocab, float largest, int32_t id, int32_t k, RowScratch& s,
                         DeviceSampleResult& result, TokenLogprob* tops) {
  double total = 0;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) total += static_cast<double>(expf(z[i] - largest));
  const double log_total = log(BlockReduce(total, Sum(), s.sums)) + static_cast<double>(largest);
  k = static_cast<int32_t>(min(static_cast<int64_t>(min(k, kDeviceTopMax)), vocab));
  if (threadIdx.x == 0) {
    result.logprob = static_cast<float>(static_cast<double>(z[id]) - log_total);
    result.tops = max(k, 0);
    s.found = 0;
  }
  if (k <= 0) return;
  const Cut cut = Select(vocab, static_cast<unsigned long long>(k), s.histogram,
                         [&](int32_t i, uint32_t& key, unsigned long long& mass) {
                           key = Ordered(z[i]);
                           mass = 1;
                           return true;
                         });
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    if (!cut.Keeps(Ordered(z[i]), static_cast<int32_t>(i))) continue;
    const uint32_t place = atomicAdd(&s.found, 1u);
    s.ids[place] = static_cast<int32_t>(i);
    s.logits[place] = z[i];
  }
  __syncthreads();
  for (int n = threadIdx.x; n < k; n += kThreads) {
    int rank = 0;  // the order in which they were found does not matter
    for (int other = 0; other < k; ++other) {
      const float theirs = s.logits[other], own = s.logits[n];
      rank += theirs > own || (theirs == own && s.ids[other] < s.ids[n]);
    }
    tops[rank] = {s.ids[n], static_cast<float>(static_cast<double>(s.logits[n]) - log_total)};
  }
}

__global__ void __launch_bounds__(kThreads)
    SampleKernel(DeviceRows logits, int64_t vocab, int64_t first, const DeviceSampleLists* lists, float* scratch,
                 DeviceSampleResult* results, TokenLogprob* tops) {
  WaitForLaunchBefore();
  Shared shared;
  RowScratch& s = *shared.Take<RowScratch>(1);
  const DeviceSampleRow row = ListAt<DeviceSampleRow>(*lists, lists->rows)[first + blockIdx.x];
  DeviceSampleResult& result = results[first + blockIdx.x];
  if (row.idle) {
    if (threadIdx.x == 0) result = {};
    return;
  }
  const float* raw = logits.row(blockIdx.x);
  const float* z = raw;
  bool finite = true;
  if (row.adjusts) {
    float* edited = scratch + blockIdx.x * vocab;
    for (int64_t i = threadIdx.x; i < vocab; i += kThreads) edited[i] = raw[i];
    __syncthreads();
    finite = Adjust(edited, row, *lists);
    z = edited;
  }
  const Best best = FindBest(z, vocab, s);
  finite = finite && best.finite;
  if (threadIdx.x == 0) result = {-1, finite ? 1 : 0, 0, 0};
  if (!finite) return;
  int32_t token = row.target;
  if (token < 0) token = row.temperature == 0 ? best.id : DrawToken(z, vocab, best.logit, row, s);
  if (threadIdx.x == 0) result.token = token;
  if (row.top_logprobs < 0) return;
  const float largest = row.adjusts ? FindBest(raw, vocab, s).logit : best.logit;
  __syncthreads();
  Logprobs(raw, vocab, largest, token, row.top_logprobs, s, result, tops + (first + blockIdx.x) * kDeviceTopMax);
}

}  // namespace

void SampleRowsCuda(const Rows& logits, int64_t first, const DeviceSampleLists* lists, float* scratch,
                    DeviceSampleResult* results, TokenLogprob* tops, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = logits.rows,
          .threads = kThreads,
          .shared = static_cast<size_t>(Shared::Bytes<RowScratch>(1)),
          .overlaps = true,
          .name = "sample"},
         SampleKernel, DeviceRows(logits), logits.cols, first, lists, scratch, results, tops);
}

}  // namespace barista

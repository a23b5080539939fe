// The head of an ordering of a row, found by a block without sorting: largest key first, equal keys by lowest id, as
// many as hold a given mass. Masses are integers, so their sums are exact in any order and atomics change no bit.
#pragma once

#include "kernels/cuda/device.cuh"

namespace barista {

// An unsigned integer in the order of floats that are not NaN; both zeros are one.
__device__ inline uint32_t Ordered(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// Elements with key > `key`, and of those with key == `key` the ids up to `id`.
struct Cut {
  __device__ bool Keeps(uint32_t k, int32_t i) const { return k > key || (k == key && i <= id); }
  uint32_t key = 0;
  int32_t id = 0x7fffffff;
};

// Shared memory of a selection.
struct Histogram {
  static constexpr int kBins = 256;
  unsigned long long mass[kBins];
  uint32_t count[kBins];
  // The bin where the search ends, what lies before it, and its own mass and count.
  int32_t bin;
  unsigned long long before, inside;
  uint32_t members;
};

__device__ inline void Clear(Histogram& h) {
  for (int i = threadIdx.x; i < Histogram::kBins; i += blockDim.x) {
    h.mass[i] = 0;
    h.count[i] = 0;
  }
  __syncthreads();
}

// The first bin, from above where kDescending, whose mass with those before it reaches `need` > 0; the last that holds
// any where none does. One warp scans, eight bins a lane; the block waits.
template <bool kDescending>
__device__ void FindBin(Histogram& h, unsigned long long need) {
  constexpr int kEach = Histogram::kBins / 32;
  __syncthreads();
  if (WarpIndex() == 0) {
    const auto bin = [](int i) { return kDescending ? Histogram::kBins - 1 - i : i; };
    unsigned long long own = 0;
    for (int i = 0; i < kEach; ++i) own += h.mass[bin(Lane() * kEach + i)];
    unsigned long long sum = own;  // of this lane's bins and all before
    for (int delta = 1; delta < 32; delta *= 2) {
      const unsigned long long lower = __shfl_up_sync(kAllLanes, sum, delta);
      if (Lane() >= delta) sum += lower;
    }
    const unsigned long long total = __shfl_sync(kAllLanes, sum, 31);
    const unsigned long long target = need < total ? need : total;
    if (sum - own < target && target <= sum) {
      unsigned long long before = sum - own;
      int i = Lane() * kEach;
      while (before + h.mass[bin(i)] < target) before += h.mass[bin(i++)];
      h.bin = bin(i);
      h.before = before;
      h.inside = h.mass[bin(i)];
      h.members = h.count[bin(i)];
    }
  }
  __syncthreads();
}

// element(id, key, mass) says whether id takes part, and its key and mass. `target` > 0; where the masses sum to less,
// all that have any are kept. Every thread gets the result.
template <class Element>
__device__ Cut Select(int64_t vocab, unsigned long long target, Histogram& h, const Element& element) {
  Cut cut;
  unsigned long long need = target;
  uint32_t members = 0;
  unsigned long long inside = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    Clear(h);
    for (int64_t i = threadIdx.x; i < vocab; i += blockDim.x) {
      uint32_t key = 0;
      unsigned long long mass = 0;
      if (!element(static_cast<int32_t>(i), key, mass) || mass == 0) continue;
      if (shift < 24 && key >> (shift + 8) != cut.key >> (shift + 8)) continue;
      atomicAdd(&h.mass[key >> shift & 255], mass);
      if (shift == 0) atomicAdd(&h.count[key & 255], 1u);
    }
    FindBin<true>(h, need);
    cut.key |= static_cast<uint32_t>(h.bin) << shift;
    need = need > h.before ? need - h.before : 1;
    members = h.members;
    inside = h.inside;
    __syncthreads();
  }
  if (members <= 1 || need >= inside) return cut;
  cut.id = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {  // ids below 2^31
    Clear(h);
    for (int64_t i = threadIdx.x; i < vocab; i += blockDim.x) {
      uint32_t key = 0;
      unsigned long long mass = 0;
      if (shift < 24 && i >> (shift + 8) != cut.id >> (shift + 8)) continue;
      if (element(static_cast<int32_t>(i), key, mass) && key == cut.key && mass > 0) {
        atomicAdd(&h.mass[i >> shift & 255], mass);
      }
    }
    FindBin<false>(h, need);
    cut.id |= h.bin << shift;
    need = need > h.before ? need - h.before : 1;
    __syncthreads();
  }
  return cut;
}

// The first id at which the masses, summed by ascending id, exceed `target`, which is less than their total. Each warp
// sums a part of the range; the part where the search ends is the next range.
template <class Mass>
__device__ int32_t FindByMass(int64_t vocab, unsigned long long target, unsigned long long* parts, const Mass& mass) {
  int64_t begin = 0, end = vocab;
  unsigned long long before = 0;
  while (end - begin > 1) {
    const int64_t each = (end - begin + Warps() - 1) / Warps();
    const int64_t low = min(begin + WarpIndex() * each, end), high = min(low + each, end);
    unsigned long long sum = 0;
    for (int64_t i = low + Lane(); i < high; i += 32) sum += mass(static_cast<int32_t>(i));
    sum = WarpReduce(sum, Sum());
    if (Lane() == 0) parts[WarpIndex()] = sum;
    __syncthreads();
    int part = 0;
    while (part < Warps() - 1 && before + parts[part] <= target) before += parts[part++];
    begin = min(begin + part * each, end);
    end = min(begin + each, end);
    __syncthreads();
  }
  return static_cast<int32_t>(begin);
}

}  // namespace barista

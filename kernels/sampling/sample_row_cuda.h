// The kernels of sampling: a block a row, everything it needs on the device.
#pragma once

#include <cstdint>

#include "kernels/cuda/queue.h"
#include "kernels/sampling/sampling.h"

namespace barista {

inline constexpr int kDeviceTopMax = 1024;  // log-probabilities beside the chosen token's

struct IdBias {
  int32_t id = 0;
  float bias = 0;
};

// A SampleRow with its lists as ranges of one array each.
struct DeviceSampleRow {
  uint64_t seed = 0, choice = 0, position = 0;
  float temperature = 1, top_p = 1, min_p = 0, typical_p = 1;
  float repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0;
  int32_t top_k = 0;
  int32_t top_logprobs = -1;
  int32_t target = -1;  // >= 0: nothing is drawn, this id's log-probability is asked for
  int32_t biases_begin = 0, biases = 0;
  int32_t counts_begin = 0, counts = 0;
  int32_t forbidden_begin = 0, forbidden = 0;
  bool adjusts = false;  // the lists or penalties change the row
};

struct DeviceSampleLists {
  const DeviceSampleRow* rows = nullptr;
  const IdBias* biases = nullptr;
  const TokenCount* counts = nullptr;
  const int32_t* forbidden = nullptr;
};

struct DeviceSampleResult {
  int32_t token = -1;
  int32_t finite = 1;
  float logprob = 0;
  int32_t tops = 0;
};

// logits [R, V]; scratch [R, V], a row's edited copy; results [R]; tops [R, kDeviceTopMax], largest first.
void SampleRowsCuda(const Rows& logits, const DeviceSampleLists& lists, float* scratch, DeviceSampleResult* results,
                    TokenLogprob* tops, CudaQueue& queue);

}  // namespace barista

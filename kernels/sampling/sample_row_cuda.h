// The kernels of sampling: a block a row, everything it needs on the device.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_step.h"
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
  int32_t counts_begin = 0, counts = 0, counts_room = 0;  // room behind them for ids that are drawn later
  int32_t forbidden_begin = 0, forbidden = 0;
  int32_t ends_begin = 0, ends = 0;
  int64_t draws_left = 0;
  bool adjusts = false;  // the lists or penalties change the row
  bool idle = false;     // nothing is asked; the token is -1
};

// The head of a step's lists: where each begins, in bytes from the head's own place, so that who reads them need not
// know how long they are.
struct DeviceSampleLists {
  int64_t rows = 0;       // DeviceSampleRow
  int64_t biases = 0;     // IdBias
  int64_t counts = 0;     // TokenCount
  int64_t forbidden = 0;  // int32_t
  int64_t ends = 0;       // int32_t
};

struct DeviceSampleResult {
  int32_t token = -1;
  int32_t finite = 1;
  float logprob = 0;
  int32_t tops = 0;
};

// logits [R, V], of rows [first, first + R) of the lists, which are the device's; scratch [R, V], a row's edited copy;
// results [first + R]; tops [first + R, kDeviceTopMax], largest first, untouched by rows that ask for none.
void SampleRowsCuda(const Rows& logits, int64_t first, const DeviceSampleLists* lists, float* scratch,
                    DeviceSampleResult* results, TokenLogprob* tops, CudaQueue& queue);

// The step of decodes and its lists, one token further: each row's draw becomes its token. A row that broke, or ended
// with that draw, becomes a run of no row.
void AdvanceStepCuda(const DeviceStep& step, const DeviceSampleLists* lists, const DeviceSampleResult* results,
                     CudaQueue& queue);

}  // namespace barista

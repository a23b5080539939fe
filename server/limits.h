// What requests are held to. Plain values, fixed at start, told by GetModel (barista.v1.Limits has the same names).
#pragma once

#include <cstdint>

namespace barista {

struct Limits {
  int64_t prompt_tokens_max = int64_t{1} << 20;
  int64_t prompt_bytes_max = int64_t{8} << 20;
  int64_t max_tokens_max = int64_t{1} << 20;
  int64_t stop_strings_max = 16;
  int64_t stop_string_bytes_max = 256;
  int64_t stop_token_ids_max = 64;
  int64_t logit_bias_entries_max = 1024;
  int64_t n_max = 16;
  int64_t logprobs_max = 20;
  int64_t speculation_tokens_max = 16;
  int64_t score_tokens_max = int64_t{1} << 17;
  int64_t classify_tokens_max = 4096;  // the encoder reads the whole text at once
  int64_t request_id_bytes_max = 64;
  int64_t queue_requests_max = 1024;
  double deadline_seconds_max = 3600;
  int64_t positions_max = 0;           // 0: no limit; set for models with full attention
  int64_t rewind_tokens_max = 256;     // 0: no states are kept to go back to
  int64_t sealed_state_bytes_max = 0;  // 0: no key
  int64_t message_bytes_max = int64_t{16} << 20;
};

}  // namespace barista

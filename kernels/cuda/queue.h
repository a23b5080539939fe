// Where device work of one backend goes: a stream, and the first thing that went wrong on it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

struct CUstream_st;  // CUDA's own name behind cudaStream_t

namespace barista {

// Used by one thread at a time. Device errors are sticky: after the first nothing runs, and status() tells which call
// it was.
class CudaQueue {
 public:
  explicit CudaQueue(CUstream_st* stream) : stream_(stream) {}

  CUstream_st* stream() const { return stream_; }
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }                 // INTERNAL naming the call and CUDA's error
  void Fail(absl::Status status) { status_.Update(std::move(status)); }  // the first one stays

 private:
  CUstream_st* stream_;
  absl::Status status_;
};

}  // namespace barista

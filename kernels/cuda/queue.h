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
  // launches_overlap: whether the device knows launches that begin before those ahead have ended, and the kernels were
  // compiled for it (since compute capability 9.0).
  explicit CudaQueue(CUstream_st* stream, bool launches_overlap = false)
      : stream_(stream), launches_overlap_(launches_overlap) {}

  bool launches_overlap() const { return launches_overlap_; }

  CUstream_st* stream() const { return stream_; }
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }                 // INTERNAL naming the call and CUDA's error
  void Fail(absl::Status status) { status_.Update(std::move(status)); }  // the first one stays

 private:
  CUstream_st* stream_;
  bool launches_overlap_;
  absl::Status status_;
};

}  // namespace barista

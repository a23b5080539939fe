// What this machine can do, measured where and when the benchmarks run: the limits that their tables hold figures
// against. Any thread; one call at a time a pool.
#pragma once

#include <vector>

#include "kernels/buffer.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/dtype.h"

namespace barista::bench {

// A clock that never goes back, and the time that the calling thread has really run, in seconds.
double Now();
double ThreadTime();
using Clock = double (*)();

// Bytes a second of one pass over the first `bytes` (multiple of 1 MiB) of `buffer` by all threads of the pool. Buffers
// of AllocateHost lie in 2 MiB pages.
double ReadRate(ThreadPool& pool, const Buffer& buffer, int64_t bytes, Clock clock = Now);

// Operations a second, in all threads of the pool, of the widest multiply-add that `isa` has for weights of `dtype`,
// operands in registers.
double PeakRate(ThreadPool& pool, CpuIsa isa, DType dtype, Clock clock = Now);

// The value below which a `share` of the values lie; 0.5 is the median. `values` must not be empty.
double Quantile(std::vector<double> values, double share);
inline double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

}  // namespace barista::bench

#include "kernels/math/isa.h"

#include <algorithm>
#include <atomic>

namespace barista {
namespace {

std::atomic<CpuIsa> limit{CpuIsa::kAmx};

}  // namespace

CpuIsa VectorIsa() { return std::min(DetectIsa(), limit.load(std::memory_order_relaxed)); }

void LimitVectorIsa(CpuIsa widest) { limit.store(widest, std::memory_order_relaxed); }

}  // namespace barista

// One kernel, several instruction sets: a `*_cpu.inc` file is compiled once for each (math/each_isa.inc) into the
// namespaces avx512, avx2 and portable, and Pick chooses among the three functions.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/isa.h"

namespace barista {

// What the vector kernels use: DetectIsa(), or a narrower one set by LimitVectorIsa. Set it before the first kernel
// runs: different sets agree within rounding, not bit for bit.
CpuIsa VectorIsa();
void LimitVectorIsa(CpuIsa widest);

template <class F>
F* Pick(F* avx512, F* avx2, F* portable) {
  const CpuIsa isa = VectorIsa();
  return isa >= CpuIsa::kAvx512 ? avx512 : isa == CpuIsa::kAvx2 ? avx2 : portable;
}

}  // namespace barista

// Comparison of a kernel's output with the truth, element by element.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/math/isa.h"

namespace barista::test {

struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

// |actual - expected| <= absolute + relative * |expected|; equal infinities and NaN in both places agree.
inline ::testing::AssertionResult Close(const std::vector<double>& actual, const std::vector<double>& expected,
                                        Tolerance tolerance) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << actual.size() << " values, expected " << expected.size();
  }
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i]))) continue;
    const double bound = tolerance.absolute + tolerance.relative * std::abs(expected[i]);
    const double excess = std::abs(actual[i] - expected[i]) / bound;
    if (excess > worst || std::isnan(excess)) {
      worst = std::isnan(excess) ? HUGE_VAL : excess;
      at = i;
    }
  }
  if (worst <= 1) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "element " << at << " of " << actual.size() << ": " << actual[at]
                                       << ", expected " << expected[at] << ", " << worst << " times the tolerance";
}

// Calls f() once for each vector instruction set of this machine, with the kernels held to it.
template <class F>
void ForEachIsa(const F& f) {
  for (const CpuIsa isa : {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
    if (isa > DetectIsa()) continue;
    SCOPED_TRACE(Name(isa));
    LimitVectorIsa(isa);
    f();
  }
  LimitVectorIsa(CpuIsa::kAmx);
}

}  // namespace barista::test

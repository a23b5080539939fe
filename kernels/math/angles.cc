#include "kernels/math/angles.h"

#include <cmath>
#include <map>
#include <utility>
#include <vector>

namespace barista {

const double* Frequencies(double theta, int64_t width) {
  thread_local std::map<std::pair<double, int64_t>, std::vector<double>> known;
  std::vector<double>& frequencies = known[{theta, width}];
  for (int64_t i = static_cast<int64_t>(frequencies.size()); 2 * i < width; ++i) {
    frequencies.push_back(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(width)));
  }
  return frequencies.data();
}

}  // namespace barista

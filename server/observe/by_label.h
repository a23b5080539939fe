// The series of one family that differ in one label, whose values are known beforehand.
#pragma once

#include <prometheus/family.h>

#include <map>
#include <string>
#include <vector>

namespace barista {

template <class T>
class ByLabel {
 public:
  // Makes a series of each value at once, so that none is missing before it is first observed. At least one value.
  ByLabel(prometheus::Family<T>& family, const char* label, const std::vector<const char*>& values) {
    for (const char* value : values) series_[value] = &family.Add({{label, value}});
    other_ = series_.at(values.back());
  }

  // Any other value counts as the last one.
  T& operator()(const std::string& value) const {
    const auto found = series_.find(value);
    return found == series_.end() ? *other_ : *found->second;
  }

 private:
  std::map<std::string, T*> series_;
  T* other_;
};

}  // namespace barista

// The asynchronous copies of one thread, in batches.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace barista::shim {

class Copies {
 public:
  // late: a copy is done when its thread waits for it; else at once.
  void Begin(bool late) {
    late_ = late;
    batch_ = 0;
    under_way_.clear();
  }
  void Add(void* to, const void* from, size_t bytes) {
    under_way_.push_back({to, from, bytes, batch_});
    if (!late_) std::memcpy(to, from, bytes);
  }
  void Commit() { ++batch_; }
  // For all batches but the last `but_last` of those that were committed.
  void Wait(size_t but_last) {
    const auto first = std::find_if(under_way_.begin(), under_way_.end(),
                                    [&](const Copy& copy) { return copy.batch + but_last >= batch_; });
    if (late_) {
      std::for_each(under_way_.begin(), first, [](const Copy& c) { std::memcpy(c.to, c.from, c.bytes); });
    }
    under_way_.erase(under_way_.begin(), first);
  }
  bool any() const { return !under_way_.empty(); }

 private:
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    uint64_t batch;
  };
  bool late_ = false;
  uint64_t batch_ = 0;  // the one that is filled now
  std::vector<Copy> under_way_;
};

}  // namespace barista::shim

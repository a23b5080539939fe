// The devices' memory, and whose turn it is to touch it.
#pragma once

#include <mutex>

#include "cuda_runtime.h"

namespace barista::shim {

// While it lives this device works: one at a time does, and a touch of another one's memory ends the program.
class Turn {
 public:
  explicit Turn(int device);

 private:
  std::lock_guard<std::mutex> lock_;
};

// Whose memory that is; -1: the host's. Within a turn.
int OwnerOf(const void* at);

}  // namespace barista::shim

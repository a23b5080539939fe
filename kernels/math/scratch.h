// Working memory of a kernel on the calling thread: grown on first need, kept until the thread ends, so a warm step
// allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace barista {

// Hands out pieces of the calling thread's one scratch area, each aligned to 64 bytes and not initialised. At most one
// Scratch lives on a thread at a time: kernels do not nest.
class Scratch {
 public:
  // Room for `floats` in all, taken in at most `pieces` pieces.
  Scratch(int64_t floats, int pieces);
  float* Take(int64_t floats);

 private:
  float* next_;
};

}  // namespace barista

// Stacks that a thread of the host changes between by hand: enough of a coroutine for the threads of a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace barista::shim {

// One stack. Enter runs `entry` on it until it calls Leave or ends; Leave is called from within. A fibre whose entry
// has not ended may be begun anew: what lay on its stack is forgotten, not destroyed.
class Fibre {
 public:
  static constexpr size_t kStackBytes = size_t{64} << 10;

  explicit Fibre(std::byte* stack) : stack_(stack) {}

  void Begin(void (*entry)());
  void Enter();
  void Leave();

 private:
  std::byte* stack_;
#if defined(__x86_64__)
  void* inside_ = nullptr;  // where each side goes on
  void* outside_ = nullptr;
#else
  std::unique_ptr<ucontext_t> inside_, outside_;
#endif
};

}  // namespace barista::shim

#include "tests/support/cuda_shim/fibre.h"

#include <cstring>

namespace barista::shim {

#if defined(__x86_64__)

// swapcontext would save the signal mask, a system call at every change. What a call must keep is six registers.
extern "C" void BaristaShimSwitch(void** save, void* load);
asm(R"(
.text
.globl BaristaShimSwitch
.type BaristaShimSwitch, @function
BaristaShimSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size BaristaShimSwitch, .-BaristaShimSwitch
.section .note.GNU-stack,"",@progbits
.text
)");

void Fibre::Begin(void (*entry)()) {
  constexpr int kSavedRegisters = 6;
  // As if `entry` had been called from nowhere: its return address, zero, lies 8 bytes off a multiple of 16.
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes) - 1;
  *top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  top -= kSavedRegisters;
  std::memset(top, 0, kSavedRegisters * sizeof(void*));
  inside_ = top;
}
void Fibre::Enter() { BaristaShimSwitch(&outside_, inside_); }
void Fibre::Leave() { BaristaShimSwitch(&inside_, outside_); }

#else

void Fibre::Begin(void (*entry)()) {
  inside_ = std::make_unique<ucontext_t>();
  outside_ = std::make_unique<ucontext_t>();
  getcontext(inside_.get());
  inside_->uc_stack.ss_sp = stack_;
  inside_->uc_stack.ss_size = kStackBytes;
  inside_->uc_link = nullptr;
  makecontext(inside_.get(), entry, 0);
}
void Fibre::Enter() { swapcontext(outside_.get(), inside_.get()); }
void Fibre::Leave() { swapcontext(inside_.get(), outside_.get()); }

#endif

}  // namespace barista::shim

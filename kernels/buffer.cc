#include "kernels/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

}  // namespace

absl::StatusOr<Buffer> AllocateHost(size_t bytes, absl::string_view what) {
  if (bytes == 0) return Buffer();
  if (bytes < kHugePage) {
    void* data = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (data == nullptr)
      return absl::ResourceExhaustedError(absl::StrCat("no memory for ", what, ": ", bytes, " bytes"));
    std::fill_n(static_cast<std::byte*>(data), bytes, std::byte{0});
    return Buffer(static_cast<std::byte*>(data), bytes, [](std::byte* p, size_t) { std::free(p); });
  }
  // Over-map by one huge page and cut the ends off, so that the start is aligned to a huge page.
  const size_t mapped = RoundUp(bytes) + kHugePage;
  void* raw = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED)
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", what, ": ", bytes, " bytes"));
  std::byte* begin = static_cast<std::byte*>(raw);
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(raw) % kHugePage) % kHugePage;
  if (head > 0) munmap(begin, head);
  if (kHugePage - head > 0) munmap(begin + head + RoundUp(bytes), kHugePage - head);
  madvise(begin + head, RoundUp(bytes), MADV_HUGEPAGE);
  return Buffer(begin + head, bytes, [](std::byte* p, size_t n) { munmap(p, RoundUp(n)); });
}

}  // namespace barista

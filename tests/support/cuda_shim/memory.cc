#include "tests/support/cuda_shim/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <utility>

namespace {

using barista::shim::Turn;

constexpr size_t kAlignment = 256;  // as cudaMalloc's

struct Mapping {
  void* begin;
  size_t bytes;  // without the page behind them
  size_t used;   // of these, cudaMalloc's
  int device;
};

struct Memory {
  std::mutex turn;
  int device = 0;                              // whose turn it is, or was
  std::map<const std::byte*, Mapping> pieces;  // by what cudaMalloc gave
  size_t total = size_t{8} << 30;              // of each device
  std::map<int, size_t> used;                  // by device
  int64_t freed_dirty = 0;
};

Memory& TheMemory() {
  static Memory& memory = *new Memory;
  return memory;
}

size_t PageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

int CurrentDevice() {
  int device = 0;
  cudaGetDevice(&device);
  return device;
}

}  // namespace

namespace barista::shim {

Turn::Turn(int device) : lock_(TheMemory().turn) {
  Memory& memory = TheMemory();
  if (std::exchange(memory.device, device) == device) return;
  for (const auto& [begin, mapping] : memory.pieces) {
    mprotect(mapping.begin, mapping.bytes, mapping.device == device ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
}

int OwnerOf(const void* at) {
  const Memory& memory = TheMemory();
  const std::byte* byte = static_cast<const std::byte*>(at);
  const auto next = memory.pieces.upper_bound(byte);
  if (next == memory.pieces.begin()) return -1;
  const auto& [begin, mapping] = *std::prev(next);
  return byte < begin + mapping.used ? mapping.device : -1;
}

void SetMemory(size_t bytes) { TheMemory().total = bytes; }
int64_t FreedDirty() { return TheMemory().freed_dirty; }

}  // namespace barista::shim

// Memory ends, rounded up to its alignment where it is large and to 16 bytes where it is small, at a page without
// access.
cudaError_t cudaMalloc(void** at, size_t bytes) {
  const size_t page = PageBytes();
  const size_t alignment = bytes < kAlignment ? 16 : kAlignment;
  const size_t used = (bytes + alignment - 1) / alignment * alignment;
  const size_t touched = (used + page - 1) / page * page;
  const int device = CurrentDevice();
  const Turn turn(device);
  Memory& memory = TheMemory();
  if (used > memory.total - memory.used[device]) return cudaErrorMemoryAllocation;
  void* begin =
      mmap(nullptr, touched + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) return cudaErrorMemoryAllocation;
  std::byte* end = static_cast<std::byte*>(begin) + touched;
  mprotect(end, page, PROT_NONE);
  *at = end - used;
  memory.used[device] += used;
  memory.pieces[end - used] = {begin, touched, used, device};
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* at) {
  const Turn turn(CurrentDevice());
  *attributes = {.device = barista::shim::OwnerOf(at)};
  return cudaSuccess;
}

cudaError_t cudaFree(void* at) {
  if (at == nullptr) return cudaSuccess;
  cudaPointerAttributes place;
  cudaPointerGetAttributes(&place, at);
  if (place.device < 0) return cudaErrorInvalidValue;
  const Turn turn(place.device);
  Memory& memory = TheMemory();
  const auto found = memory.pieces.find(static_cast<std::byte*>(at));
  if (found == memory.pieces.end()) return cudaErrorInvalidValue;
  const Mapping& mapping = found->second;
  memory.freed_dirty +=
      std::any_of(found->first, found->first + mapping.used, [](std::byte b) { return b != std::byte{0}; });
  memory.used[mapping.device] -= mapping.used;
  munmap(mapping.begin, mapping.bytes + PageBytes());
  memory.pieces.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const int device = CurrentDevice();
  const Turn turn(device);
  *free = TheMemory().total - TheMemory().used[device];
  *total = TheMemory().total;
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = std::malloc(bytes);
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

// A block of threads as fibres: who runs next, barriers, warp operations, and what can be wrong with them.
#include "tests/support/cuda_shim/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cuda_pipeline.h"
#include "cuda_runtime.h"
#include "tests/support/cuda_shim/copies.h"
#include "tests/support/cuda_shim/fibre.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace barista {
extern uint4 barista_shared[];
}
size_t __cvta_generic_to_shared(const void* memory) {
  return static_cast<size_t>(static_cast<const std::byte*>(memory) -
                             reinterpret_cast<const std::byte*>(barista::barista_shared));
}
void* __cvta_shared_to_generic(size_t address) {
  return reinterpret_cast<std::byte*>(barista::barista_shared) + address;
}

namespace barista {

// The dynamic shared memory of the block that runs, and a border behind it that must stay as it is.
constexpr size_t kSharedMax = 227 << 10;
constexpr size_t kBorder = 1024;
alignas(128) uint4 barista_shared[(kSharedMax + kBorder) / sizeof(uint4)];

namespace shim {
namespace {

constexpr int kThreadsMax = 1024;
constexpr unsigned char kPoison = 0xff;  // a NaN in every floating type
constexpr unsigned char kBorderByte = 0xa5;

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Thread {
  explicit Thread(std::byte* stack) : fibre(stack) {}
  Fibre fibre;
  State state = State::kReady;
  uint3 index = {};
  const char* site = nullptr;  // of the barrier or warp operation it waits at
  Copies copies;
};

// Operations of the lanes of one mask. Values alternate between two rows: a lane reads those of one operation while
// another lane already brings its value to the next.
struct WarpOperation {
  unsigned mask = 0;
  unsigned arrived = 0;
  const char* site = nullptr;
  uint64_t count = 0;
  WarpValues values[2];
};

class Block {
 public:
  Block() {
    void* stacks = mmap(nullptr, kThreadsMax * Fibre::kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) std::abort();
    for (int i = 0; i < kThreadsMax; ++i)
      threads_.emplace_back(static_cast<std::byte*>(stacks) + i * Fibre::kStackBytes);
  }

  void SetSchedule(uint64_t seed) {
    schedule_ = seed;
    random_.seed(seed);
  }
  void Order(std::vector<int>& order, int count) {
    order.resize(count);
    std::iota(order.begin(), order.end(), 0);
    if (schedule_ == 1) std::reverse(order.begin(), order.end());
    if (schedule_ > 1) std::shuffle(order.begin(), order.end(), random_);
  }

  // Empty, or what was wrong.
  std::string Run(dim3 shape, size_t shared, void (*call)(void*), void* context) {
    count_ = static_cast<int>(shape.x * shape.y * shape.z);
    call_ = call;
    context_ = context;
    error_.clear();
    waits_ = 0;
    shared_ = shared;
    copies_are_late_ = !copies_are_late_;
    unsigned char* memory = reinterpret_cast<unsigned char*>(barista_shared);
    std::fill_n(memory, shared, kPoison);
    std::fill_n(memory + shared, kBorder, kBorderByte);
    warps_.assign((count_ + 31) / 32, {});
    for (int i = 0; i < count_; ++i) {
      const unsigned n = static_cast<unsigned>(i);
      threads_[i].index = {n % shape.x, n / shape.x % shape.y, n / shape.x / shape.y};
      threads_[i].state = State::kReady;
      threads_[i].copies.Begin(copies_are_late_);
      threads_[i].fibre.Begin(&Block::Entry);
    }
    while (error_.empty() && !Sweep()) {
    }
    if (error_.empty() && !std::all_of(memory + shared, memory + shared + kBorder,
                                       [](unsigned char byte) { return byte == kBorderByte; })) {
      error_ = "a write past the block's " + std::to_string(shared) + " bytes of shared memory";
    }
    return error_;
  }

  void Barrier(const char* site, int predicate) {
    votes_ += predicate != 0;
    Wait(State::kAtBarrier, site);
  }
  int votes() const { return votes_before_; }
  void CopyAsync(const char* site, void* to, const void* from, size_t bytes) {
    const auto place = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
    const auto begin = reinterpret_cast<uintptr_t>(barista_shared);
    if ((bytes != 4 && bytes != 8 && bytes != 16) || place % bytes != 0 || source % bytes != 0) {
      return Fail(site, "an asynchronous copy of that size or alignment");
    }
    if (place < begin || place + bytes > begin + shared_) return Fail(site, "an asynchronous copy past shared memory");
    copies().Add(to, from, bytes);
  }
  Copies& copies() { return threads_[current_].copies; }
  void WaitForGridBefore() { ++waits_; }
  bool waited() const { return waits_ == count_; }

  const WarpValues& Exchange(const char* site, unsigned mask, uint64_t value) {
    const int lane = current_ % 32;
    WarpOperation& operation = Find(current_ / 32, mask);
    if ((mask >> lane & 1) == 0) return Fail(site, "a lane is not in its own mask"), operation.values[0];
    if (operation.arrived == 0) operation.site = site;
    if (operation.site != site && std::string_view(operation.site) != site) {
      return Fail(site, std::string("lanes of one mask are in different operations, others at ") + operation.site),
             operation.values[0];
    }
    WarpValues& values = operation.values[operation.count % 2];
    values.of[lane] = value;
    operation.arrived |= 1u << lane;
    if (operation.arrived == mask) {
      operation.arrived = 0;
      ++operation.count;
      for (int i = 0; i < 32; ++i) {
        if ((mask >> i & 1) != 0) threads_[current_ / 32 * 32 + i].state = State::kReady;
      }
    } else {
      Wait(State::kInWarp, site);
    }
    return values;
  }

 private:
  static void Entry();

  // Runs every thread that can go on; true where all are done.
  bool Sweep() {
    Order(order_, count_);
    bool moved = false;
    for (const int i : order_) {
      if (threads_[i].state != State::kReady) continue;
      current_ = i;
      threadIdx = threads_[i].index;
      threads_[i].fibre.Enter();
      moved = true;
      if (!error_.empty()) return false;
    }
    if (moved) return false;
    return Release();
  }

  // Nobody can go on: either all stand at one barrier, or all are done, or something is wrong.
  bool Release() {
    int done = 0, waiting = 0;
    const Thread* first = nullptr;
    for (int i = 0; i < count_; ++i) {
      const Thread& thread = threads_[i];
      done += thread.state == State::kDone;
      waiting += thread.state == State::kAtBarrier;
      if (thread.state == State::kInWarp) {
        error_ = std::string(thread.site) + ": a warp operation lacks lanes of its mask";
        return false;
      }
      if (thread.state != State::kAtBarrier) continue;
      if (first != nullptr && std::string_view(first->site) != thread.site) {
        error_ =
            std::string(thread.site) + ": threads of a block stand at different barriers, others at " + first->site;
        return false;
      }
      first = &thread;
    }
    if (done == count_) return true;
    if (waiting < count_) {
      error_ = std::string(first->site) + ": a barrier that " + std::to_string(done) + " threads of the block left out";
      return false;
    }
    for (int i = 0; i < count_; ++i) threads_[i].state = State::kReady;
    votes_before_ = votes_;
    votes_ = 0;
    return false;
  }

  WarpOperation& Find(int warp, unsigned mask) {
    for (WarpOperation& operation : warps_[warp]) {
      if (operation.mask == mask) return operation;
    }
    warps_[warp].reserve(8);  // references stay
    if (warps_[warp].size() == 8) std::abort();
    warps_[warp].push_back({.mask = mask, .arrived = 0, .site = nullptr, .count = 0, .values = {}});
    return warps_[warp].back();
  }

  void Fail(const char* site, const std::string& what) {
    error_ = std::string(site) + ": " + what;
    threads_[current_].fibre.Leave();
  }
  void Wait(State state, const char* site) {
    Thread& thread = threads_[current_];
    thread.state = state;
    thread.site = site;
    thread.fibre.Leave();
  }

  std::vector<Thread> threads_;
  std::vector<std::vector<WarpOperation>> warps_;
  std::vector<int> order_;
  int count_ = 0;
  int current_ = 0;
  int votes_ = 0, votes_before_ = 0;
  int waits_ = 0;  // for the grid before
  size_t shared_ = 0;
  bool copies_are_late_ = false;
  void (*call_)(void*) = nullptr;
  void* context_ = nullptr;
  std::string error_;
  uint64_t schedule_ = 0;
  std::mt19937_64 random_;
};

Block& TheBlock() {
  static Block& block = *new Block;
  return block;
}

void Block::Entry() {
  Block& block = TheBlock();
  block.call_(block.context_);
  if (block.copies().any()) block.error_ = "a thread that ends before its asynchronous copies";
  block.Wait(State::kDone, nullptr);
}

}  // namespace

std::string RunGrid(dim3 grid, dim3 block, size_t shared, bool overlaps, void (*call)(void*), void* context) {
  if (block.x * block.y * block.z > kThreadsMax || block.x * block.y * block.z == 0)
    return "a block of that many threads";
  if (shared > kSharedMax) return "more shared memory than a block may have";
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) return "a grid of that shape";
  gridDim = grid;
  blockDim = block;
  std::vector<int> order;
  TheBlock().Order(order, static_cast<int>(grid.x * grid.y * grid.z));
  for (const int i : order) {
    const unsigned n = static_cast<unsigned>(i);
    blockIdx = {n % grid.x, n / grid.x % grid.y, n / grid.x / grid.y};
    if (std::string error = TheBlock().Run(block, shared, call, context); !error.empty()) return error;
    if (overlaps && !TheBlock().waited()) return "threads that do not wait for the launch before, which may still run";
  }
  return "";
}

void SetSchedule(uint64_t seed) { TheBlock().SetSchedule(seed); }
void WaitForGridBefore() { TheBlock().WaitForGridBefore(); }
void CopyAsync(const char* site, void* to, const void* from, size_t bytes) {
  TheBlock().CopyAsync(site, to, from, bytes);
}
void CommitCopies() { TheBlock().copies().Commit(); }
void WaitForCopies(size_t but_last) { TheBlock().copies().Wait(but_last); }
void SyncThreads(const char* site) { TheBlock().Barrier(site, 0); }
int SyncThreadsCount(const char* site, int predicate) {
  TheBlock().Barrier(site, predicate);
  return TheBlock().votes();
}
const WarpValues& Exchange(const char* site, unsigned mask, uint64_t value) {
  return TheBlock().Exchange(site, mask, value);
}

}  // namespace shim
}  // namespace barista

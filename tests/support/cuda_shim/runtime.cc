// The runtime's calls on host memory.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "tests/support/cuda_shim/block.h"

namespace {

constexpr size_t kAlignment = 256;  // as cudaMalloc's

struct Mapping {
  void* begin;
  size_t bytes;
  size_t used;  // of these, cudaMalloc's
};

struct Runtime {
  std::mutex mutex;
  std::map<void*, Mapping> mappings;  // by what cudaMalloc gave
  std::string report;
  cudaError_t broken = cudaSuccess;
  size_t memory = size_t{8} << 30, used = 0;
  int64_t freed_dirty = 0;
  std::vector<std::function<cudaError_t()>>* captured = nullptr;  // of the graph under way
  int64_t graph_launches = 0;
};

Runtime& TheRuntime() {
  static Runtime& runtime = *new Runtime;
  return runtime;
}

}  // namespace

struct CUgraph_st {
  std::vector<std::function<cudaError_t()>> work;
};
struct CUgraphExec_st : CUgraph_st {};

// Memory ends, rounded up to its alignment where it is large and to 16 bytes where it is small, at a page without
// access.
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t alignment = bytes < kAlignment ? 16 : kAlignment;
  const size_t used = (bytes + alignment - 1) / alignment * alignment;
  const size_t mapped = (used + page - 1) / page * page + page;
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  if (used > runtime.memory - runtime.used) return cudaErrorMemoryAllocation;
  void* begin = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) return cudaErrorMemoryAllocation;
  std::byte* end = static_cast<std::byte*>(begin) + mapped - page;
  mprotect(end, page, PROT_NONE);
  *memory = end - used;
  runtime.used += used;
  runtime.mappings[*memory] = {begin, mapped, used};
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  const auto found = runtime.mappings.find(memory);
  if (found == runtime.mappings.end()) return cudaErrorInvalidValue;
  const Mapping& mapping = found->second;
  const std::byte* bytes = static_cast<const std::byte*>(memory);
  runtime.freed_dirty += std::any_of(bytes, bytes + mapping.used, [](std::byte b) { return b != std::byte{0}; });
  runtime.used -= mapping.used;
  munmap(mapping.begin, mapping.bytes);
  runtime.mappings.erase(found);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
  *attributes = {.device = 0};
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  *free = runtime.memory - runtime.used;
  *total = runtime.memory;
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

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  return barista::shim::Do([=] {
    if (bytes > 0) std::memmove(to, from, bytes);
    return TheRuntime().broken;
  });
}
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t) {
  return barista::shim::Do([=] {
    std::memset(to, byte, bytes);
    return TheRuntime().broken;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (TheRuntime().captured != nullptr) return cudaErrorInvalidValue;
  TheRuntime().captured = new std::vector<std::function<cudaError_t()>>;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  const std::unique_ptr<std::vector<std::function<cudaError_t()>>> captured(
      std::exchange(TheRuntime().captured, nullptr));
  if (captured == nullptr) return cudaErrorInvalidValue;
  *graph = new CUgraph_st{*captured};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{*graph};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  ++TheRuntime().graph_launches;
  for (const auto& work : exec->work) {
    if (const cudaError_t error = work(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure && !TheRuntime().report.empty()) return TheRuntime().report.c_str();
  return cudaGetErrorName(error);
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "?";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {
      .name = "host shim", .major = 9, .minor = 0, .multiProcessorCount = 4, .totalGlobalMem = TheRuntime().memory};
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return TheRuntime().broken; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return TheRuntime().broken; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return TheRuntime().broken; }

namespace barista::shim {

cudaError_t Do(std::function<cudaError_t()> work) {
  if (TheRuntime().captured == nullptr) return work();
  TheRuntime().captured->push_back(std::move(work));
  return cudaSuccess;
}
int64_t GraphLaunches() { return TheRuntime().graph_launches; }

cudaError_t Run(const cudaLaunchConfig_t& config, void (*call)(void*), void* context) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  if (runtime.broken != cudaSuccess) return runtime.broken;
  runtime.report =
      RunGrid(config.gridDim, config.blockDim, config.dynamicSmemBytes, config.numAttrs > 0, call, context);
  return runtime.report.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

void Break(cudaError_t error) { TheRuntime().broken = error; }
void Heal() { TheRuntime().broken = cudaSuccess; }
void SetMemory(size_t bytes) { TheRuntime().memory = bytes; }
int64_t FreedDirty() { return TheRuntime().freed_dirty; }

}  // namespace barista::shim

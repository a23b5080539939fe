// The runtime's calls: devices, streams, events and graphs.
#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "tests/support/cuda_shim/block.h"
#include "tests/support/cuda_shim/memory.h"

namespace {

using barista::shim::Turn;
using Work = std::function<cudaError_t()>;

constexpr int kDevicesMax = 8;

struct Runtime {
  std::atomic<int> devices = 1;
  std::array<std::atomic<cudaError_t>, kDevicesMax> broken = {};
  std::atomic<int64_t> graph_launches = 0;
};

Runtime& TheRuntime() {
  static Runtime& runtime = *new Runtime;
  return runtime;
}

thread_local int current_device = 0;
thread_local std::string report;  // what was wrong with this thread's last call that failed

cudaError_t Broken(int device) { return TheRuntime().broken[device]; }

cudaError_t Refuse(cudaError_t error, std::string why) {
  report = std::move(why);
  return error;
}

}  // namespace

struct CUstream_st {
  int device;
  std::unique_ptr<std::vector<Work>> captured;  // of the graph under way
};
struct CUevent_st {
  int device;
};
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st : CUgraph_st {};

namespace {

// The stream's, where there is one: no stream is the thread's device's.
int DeviceOf(cudaStream_t stream) { return stream == nullptr ? current_device : stream->device; }

cudaError_t CheckMemory(const void* at, int device) {
  const int owner = barista::shim::OwnerOf(at);
  if (owner < 0 || owner == device) return cudaSuccess;
  return Refuse(cudaErrorInvalidResourceHandle,
                "memory of device " + std::to_string(owner) + " on a stream of device " + std::to_string(device));
}

}  // namespace

// From a thread whose device is another, a copy goes well, as on a card.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  return barista::shim::Do(stream, [=](int device) {
    const Turn turn(device);
    for (const void* at : {static_cast<const void*>(to), from}) {
      if (const cudaError_t error = CheckMemory(at, device); error != cudaSuccess) return error;
    }
    if (bytes > 0) std::memmove(to, from, bytes);
    return Broken(device);
  });
}
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = barista::shim::CheckStream(stream); error != cudaSuccess) return error;
  return barista::shim::Do(stream, [=](int device) {
    const Turn turn(device);
    if (const cudaError_t error = CheckMemory(to, device); error != cudaSuccess) return error;
    std::memset(to, byte, bytes);
    return Broken(device);
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || stream->captured != nullptr) return cudaErrorInvalidValue;
  stream->captured = std::make_unique<std::vector<Work>>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (stream == nullptr || stream->captured == nullptr) return cudaErrorInvalidValue;
  *graph = new CUgraph_st{*std::exchange(stream->captured, nullptr)};
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
  const bool reported = error == cudaErrorLaunchFailure || error == cudaErrorInvalidResourceHandle;
  return reported && !report.empty() ? report.c_str() : cudaGetErrorName(error);
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "?";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = TheRuntime().devices;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= TheRuntime().devices) return cudaErrorInvalidDevice;
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  *properties = {.name = "host shim",
                 .major = 9,
                 .minor = 0,
                 .multiProcessorCount = 4,
                 .totalGlobalMem = total,
                 .sharedMemPerBlockOptin = 227 << 10};
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= TheRuntime().devices) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return Broken(current_device); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st{.device = current_device, .captured = nullptr};
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return Broken(DeviceOf(stream)); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st{.device = current_device};
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event->device == DeviceOf(stream)) return cudaSuccess;
  return Refuse(cudaErrorInvalidResourceHandle, "an event of device " + std::to_string(event->device) +
                                                    " on a stream of device " + std::to_string(DeviceOf(stream)));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return Broken(event->device); }

namespace barista::shim {

cudaError_t CheckStream(cudaStream_t stream) {
  if (DeviceOf(stream) == current_device) return cudaSuccess;
  return Refuse(cudaErrorInvalidResourceHandle, "a stream of device " + std::to_string(DeviceOf(stream)) +
                                                    " from a thread whose device is " + std::to_string(current_device));
}

cudaError_t Do(cudaStream_t stream, std::function<cudaError_t(int device)> work) {
  const int device = DeviceOf(stream);
  if (stream == nullptr || stream->captured == nullptr) return work(device);
  stream->captured->push_back([work = std::move(work), device] { return work(device); });
  return cudaSuccess;
}
int64_t GraphLaunches() { return TheRuntime().graph_launches; }

cudaError_t Run(const cudaLaunchConfig_t& config, int device, void (*call)(void*), void* context) {
  const Turn turn(device);
  if (const cudaError_t error = Broken(device); error != cudaSuccess) return error;
  std::string wrong =
      RunGrid(config.gridDim, config.blockDim, config.dynamicSmemBytes, config.numAttrs > 0, call, context);
  return wrong.empty() ? cudaSuccess : Refuse(cudaErrorLaunchFailure, std::move(wrong));
}

void SetDevices(int count) { TheRuntime().devices = std::min(count, kDevicesMax); }
void Break(cudaError_t error, int device) { TheRuntime().broken[device] = error; }
void Heal() {
  for (std::atomic<cudaError_t>& broken : TheRuntime().broken) broken = cudaSuccess;
}

}  // namespace barista::shim

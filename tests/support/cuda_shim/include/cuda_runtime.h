// The part of the CUDA runtime and of the device language that this tree's .cu files use, for g++: a build that puts
// this folder before all others compiles the same sources as host code, and launches run on the calling thread, for
// tests.
//
// A block's threads are fibres (fibre.h) that change at barriers, shuffles and votes alone, in an order that
// SetSchedule chooses. A launch ends with cudaErrorLaunchFailure, and cudaGetErrorString says where and why, when
// threads of a block stand at different barriers or have left, when a shuffle or vote lacks a lane of its mask, or when
// a block wrote past its shared memory, or when a kernel that may begin before the launch ahead of it ends has threads
// that do not wait for it. Shared memory begins as NaN in every block. Device memory ends at a page without access, so
// a touch behind it (behind 16 bytes of rounding) ends the program. "Device" memory is host memory, streams are the
// calling thread, and launches are done when they return. One launch runs at a time.
//
// There may be several devices (SetDevices). Streams, events and memory are of the device that was the thread's when
// they were made; cudaErrorInvalidResourceHandle, and cudaGetErrorString's reason, answer launches and memsets on a
// stream of another device than the thread's, events on a stream of another device, and copies and memsets of another
// device's memory. A kernel that touches memory of another device ends the program.
#pragma once

#define BARISTA_CUDA_SHIM 1

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

// --- the language ------------------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace barista::shim {

// What a thread brings to a warp operation, and what all of its mask brought.
struct WarpValues {
  uint64_t of[32];
};

void SyncThreads(const char* site);
int SyncThreadsCount(const char* site, int predicate);
void WaitForGridBefore();
const WarpValues& Exchange(const char* site, unsigned mask, uint64_t value);

template <class T>
uint64_t Bits(T x) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof(T));
  return bits;
}
template <class T>
T FromBits(uint64_t bits) {
  T x;
  std::memcpy(&x, &bits, sizeof(T));
  return x;
}

inline int LaneOf(const uint3& thread) { return static_cast<int>(thread.x % 32); }

// A lane outside of its segment of `width` gets its own value back, as on a device.
template <class T>
T Shuffle(const char* site, unsigned mask, T x, int source) {
  const WarpValues& values = Exchange(site, mask, Bits(x));
  return source < 0 ? x : FromBits<T>(values.of[source & 31]);
}
inline unsigned Ballot(const char* site, unsigned mask, int predicate) {
  const WarpValues& values = Exchange(site, mask, predicate != 0);
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0 && values.of[lane] != 0) votes |= 1u << lane;
  }
  return votes;
}

// barista::Lanes (kernels/cuda/device.cuh): one exchange, where a device shuffles for every lane that is read.
template <class T>
class Lanes {
 public:
  explicit Lanes(T mine) : values_(Exchange("lanes", 0xffffffffu, Bits(mine))) {}
  T operator[](int lane) const { return FromBits<T>(values_.of[lane]); }

 private:
  WarpValues values_;
};

}  // namespace barista::shim

#define BARISTA_SHIM_TEXT2(x) #x
#define BARISTA_SHIM_TEXT(x) BARISTA_SHIM_TEXT2(x)
#define BARISTA_SHIM_SITE __FILE__ ":" BARISTA_SHIM_TEXT(__LINE__)

#define __syncthreads() ::barista::shim::SyncThreads(BARISTA_SHIM_SITE)
#define __syncthreads_count(predicate) ::barista::shim::SyncThreadsCount(BARISTA_SHIM_SITE, (predicate))
#define __syncthreads_or(predicate) (__syncthreads_count(predicate) != 0)
#define __syncwarp() static_cast<void>(::barista::shim::Exchange(BARISTA_SHIM_SITE, 0xffffffffu, 0))
#define cudaGridDependencySynchronize() ::barista::shim::WaitForGridBefore()
#define cudaTriggerProgrammaticLaunchCompletion() static_cast<void>(0)
#define __shfl_sync(mask, x, lane) ::barista::shim::Shuffle(BARISTA_SHIM_SITE, (mask), (x), (lane))
#define __shfl_xor_sync(mask, x, flip) \
  ::barista::shim::Shuffle(BARISTA_SHIM_SITE, (mask), (x), ::barista::shim::LaneOf(threadIdx) ^ (flip))
#define __shfl_up_sync(mask, x, delta) \
  ::barista::shim::Shuffle(BARISTA_SHIM_SITE, (mask), (x), ::barista::shim::LaneOf(threadIdx) - (delta))
#define __shfl_down_sync(mask, x, delta) \
  ::barista::shim::Shuffle(              \
      BARISTA_SHIM_SITE, (mask), (x),    \
      ::barista::shim::LaneOf(threadIdx) + (delta) > 31 ? -1 : ::barista::shim::LaneOf(threadIdx) + (delta))
#define __ballot_sync(mask, predicate) ::barista::shim::Ballot(BARISTA_SHIM_SITE, (mask), (predicate))
#define __any_sync(mask, predicate) (__ballot_sync(mask, predicate) != 0)
#define __all_sync(mask, predicate) (__ballot_sync(mask, predicate) == (mask))

// Threads change at synchronisation alone, so plain reads and writes are atomic.
template <class T>
T atomicAdd(T* at, T x) {
  const T old = *at;
  *at = static_cast<T>(old + x);
  return old;
}
template <class T>
T atomicMax(T* at, T x) {
  const T old = *at;
  if (x > old) *at = x;
  return old;
}
template <class T>
T atomicMin(T* at, T x) {
  const T old = *at;
  if (x < old) *at = x;
  return old;
}
template <class T>
T atomicCAS(T* at, T expected, T x) {
  const T old = *at;
  if (old == expected) *at = x;
  return old;
}

template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
// Shared memory has addresses of its own, from 0 on.
size_t __cvta_generic_to_shared(const void* memory);
void* __cvta_shared_to_generic(size_t address);
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}

// --- the runtime -------------------------------------------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;

struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
};
struct cudaPointerAttributes {
  int device;
};
struct cudaFuncAttributes {
  int ptxVersion;
};
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;  // of the call; a recorded launch keeps their number
  unsigned numAttrs;
};

const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
// Launches and copies between the two are kept, and done anew by each cudaGraphLaunch.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);

namespace barista::shim {

// Runs call(context) once in every thread of every block.
cudaError_t Run(const cudaLaunchConfig_t& config, int device, void (*call)(void*), void* context);

// Whether the stream is of the thread's device.
cudaError_t CheckStream(cudaStream_t stream);
// Does `work` now on the stream's device, or keeps it while a graph is captured from the stream.
cudaError_t Do(cudaStream_t stream, std::function<cudaError_t(int device)> work);
int64_t GraphLaunches();

// How many devices there are: 1 until then, 8 at most.
void SetDevices(int count);

// The order in which a block's threads, and a grid's blocks, go on: 0 ascending, 1 descending, others at random from
// that seed. A kernel whose result depends on it lacks a barrier.
void SetSchedule(uint64_t seed);
// The next launch, and all after it until Heal, end with `error`: a broken device.
void Break(cudaError_t error, int device = 0);
void Heal();
// Each device's memory from now on: 8 GiB until then.
void SetMemory(size_t bytes);
// How many of cudaFree's pieces held something else than zeros.
int64_t FreedDirty();

}  // namespace barista::shim

template <class T>
cudaError_t cudaFuncSetAttribute(T*, cudaFuncAttribute, int) {
  return cudaSuccess;
}

template <class T>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, T*) {
  attributes->ptxVersion = 90;
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  struct Context {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> values;
  } context{kernel, std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)};
  if (const cudaError_t error = barista::shim::CheckStream(config->stream); error != cudaSuccess) return error;
  return barista::shim::Do(config->stream, [config = *config, context](int device) mutable {
    return barista::shim::Run(
        config, device,
        [](void* raw) {
          const Context& c = *static_cast<const Context*>(raw);
          std::apply(c.kernel, c.values);
        },
        &context);
  });
}

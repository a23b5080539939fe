// The host shim of device code: it does what a device does, and finds what a device would forgive until it does not.
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace barista {

extern uint4 barista_shared[];

namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// Runs `thread` in every thread of every block; the launch's error, empty where there is none.
std::string LaunchAll(unsigned blocks, unsigned threads, size_t shared, const std::function<void()>& thread) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  void (*kernel)(const std::function<void()>*) = [](const std::function<void()>* f) { (*f)(); };
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, &thread);
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

template <class F>
void ForEachSchedule(const F& f) {
  for (const uint64_t seed : {0, 1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    shim::SetSchedule(seed);
    f();
  }
  shim::SetSchedule(0);
}

float* SharedFloats() { return reinterpret_cast<float*>(barista_shared); }

TEST(CudaShim, EveryThreadOfEveryBlockRunsOnce) {
  ForEachSchedule([] {
    std::vector<int> seen(5 * 96);
    EXPECT_THAT(LaunchAll(5, 96, 0, [&] { ++seen[blockIdx.x * blockDim.x + threadIdx.x]; }), IsEmpty());
    EXPECT_EQ(seen, std::vector<int>(5 * 96, 1));
  });
}

TEST(CudaShim, ABarrierOrdersSharedMemory) {
  ForEachSchedule([] {
    std::vector<float> out(128);
    EXPECT_THAT(LaunchAll(1, 128, 512,
                          [&] {
                            for (int round = 0; round < 3; ++round) {
                              SharedFloats()[threadIdx.x] = static_cast<float>(threadIdx.x + round);
                              __syncthreads();
                              out[threadIdx.x] = SharedFloats()[127 - threadIdx.x];
                              __syncthreads();
                            }
                          }),
                IsEmpty());
    for (int i = 0; i < 128; ++i) EXPECT_EQ(out[i], 127 - i + 2);
  });
}

TEST(CudaShim, VotesAndCountsSeeEveryThread) {
  ForEachSchedule([] {
    std::vector<int> count(64), any(64);
    std::vector<unsigned> ballot(64);
    EXPECT_THAT(LaunchAll(1, 64, 0,
                          [&] {
                            count[threadIdx.x] = __syncthreads_count(threadIdx.x % 3 == 0);
                            any[threadIdx.x] = __syncthreads_or(threadIdx.x == 77) +
                                               2 * __any_sync(~0u, threadIdx.x == 40) +
                                               4 * __all_sync(~0u, threadIdx.x < 32);
                            ballot[threadIdx.x] = __ballot_sync(~0u, threadIdx.x % 2);
                          }),
                IsEmpty());
    EXPECT_EQ(count, std::vector<int>(64, 22));
    for (int i = 0; i < 64; ++i) EXPECT_EQ(any[i], i < 32 ? 4 : 2);
    EXPECT_EQ(ballot, std::vector<unsigned>(64, 0xaaaaaaaa));
  });
}

TEST(CudaShim, ShufflesGiveTheLanesValues) {
  ForEachSchedule([] {
    std::vector<double> from(64), flipped(64), up(64), down(64), half(64, -1);
    EXPECT_THAT(LaunchAll(1, 64, 0,
                          [&] {
                            const int i = static_cast<int>(threadIdx.x);
                            from[i] = __shfl_sync(~0u, double(i), 5);
                            flipped[i] = __shfl_xor_sync(~0u, double(i), 16);
                            up[i] = __shfl_up_sync(~0u, double(i), 3);
                            down[i] = __shfl_down_sync(~0u, double(i), 3);
                            if (i % 32 < 16) half[i] = __shfl_xor_sync(0xffffu, double(i), 1);
                          }),
                IsEmpty());
    for (int i = 0; i < 64; ++i) {
      const int lane = i % 32, warp = i - lane;
      EXPECT_EQ(from[i], warp + 5);
      EXPECT_EQ(flipped[i], warp + (lane ^ 16));
      EXPECT_EQ(up[i], lane < 3 ? i : i - 3);
      EXPECT_EQ(down[i], lane > 28 ? i : i + 3);
      EXPECT_EQ(half[i], lane < 16 ? i ^ 1 : -1);
    }
  });
}

TEST(CudaShim, AtomicsOfAllBlocksAddUp) {
  ForEachSchedule([] {
    unsigned sum = 0, largest = 0, smallest = 1000, swapped = 0;
    EXPECT_THAT(LaunchAll(3, 64, 0,
                          [&] {
                            atomicAdd(&sum, 1u);
                            atomicMax(&largest, threadIdx.x);
                            atomicMin(&smallest, threadIdx.x + 7);
                            atomicCAS(&swapped, 0u, 9u);
                          }),
                IsEmpty());
    EXPECT_EQ(sum, 192u);
    EXPECT_EQ(largest, 63u);
    EXPECT_EQ(smallest, 7u);
    EXPECT_EQ(swapped, 9u);
  });
}

TEST(CudaShim, SharedMemoryBeginsAsNanInEveryBlock) {
  std::vector<float> seen(3);
  EXPECT_THAT(LaunchAll(3, 32, 64,
                        [&] {
                          if (threadIdx.x != 0) return;
                          seen[blockIdx.x] = SharedFloats()[3];
                          SharedFloats()[3] = 1;
                        }),
              IsEmpty());
  for (const float x : seen) EXPECT_TRUE(std::isnan(x));
}

// --- planted bugs ------------------------------------------------------------------------------------------------

// A sum over neighbours without the barrier between writing and reading: some order shows it.
TEST(CudaShim, AMissingBarrierChangesTheResultWithTheSchedule) {
  std::vector<std::vector<float>> results;
  for (const bool barrier : {true, false}) {
    int wrong = 0;
    ForEachSchedule([&] {
      std::vector<float> out(64);
      EXPECT_THAT(LaunchAll(1, 64, 256,
                            [&] {
                              SharedFloats()[threadIdx.x] = static_cast<float>(threadIdx.x);
                              if (barrier) __syncthreads();
                              out[threadIdx.x] = SharedFloats()[threadIdx.x ^ 1];
                            }),
                  IsEmpty());
      for (int i = 0; i < 64; ++i) wrong += out[i] != static_cast<float>(i ^ 1);
    });
    EXPECT_EQ(wrong > 0, !barrier);
  }
}

// Copies are done at once or late, by turns: a kernel without the wait sees both.
TEST(CudaShim, AnAsynchronousCopyComesWithItsWait) {
  alignas(16) const float from[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (const bool wait : {true, false}) {
    int wrong = 0;
    for (int launch = 0; launch < 2; ++launch) {
      float seen = 0;
      EXPECT_THAT(LaunchAll(1, 32, 64,
                            [&] {
                              if (threadIdx.x < 2)
                                __pipeline_memcpy_async(SharedFloats() + 4 * threadIdx.x, from + 4 * threadIdx.x, 16);
                              __pipeline_commit();
                              if (threadIdx.x < 2) __pipeline_memcpy_async(SharedFloats() + 8, from, 4);
                              __pipeline_commit();
                              __pipeline_wait_prior(wait ? 1 : 2);
                              __syncthreads();
                              if (threadIdx.x == 31) seen = SharedFloats()[5];
                              __syncthreads();
                              __pipeline_wait_prior(0);
                            }),
                  IsEmpty());
      wrong += seen != 5;
    }
    EXPECT_EQ(wrong, wait ? 0 : 1);
  }
}

TEST(CudaShim, CopiesThatACardWouldRefuseAreFound) {
  alignas(16) const float from[8] = {};
  const auto copy = [&](int to, int at, size_t bytes) {
    return LaunchAll(1, 32, 64, [&] {
      __pipeline_memcpy_async(SharedFloats() + to, from + at, bytes);
      __pipeline_commit();
      __pipeline_wait_prior(0);
    });
  };
  EXPECT_THAT(copy(0, 4, 16), IsEmpty());
  EXPECT_THAT(copy(1, 0, 16), HasSubstr("size or alignment"));
  EXPECT_THAT(copy(0, 1, 8), HasSubstr("size or alignment"));
  EXPECT_THAT(copy(0, 0, 12), HasSubstr("size or alignment"));
  EXPECT_THAT(copy(16, 0, 16), HasSubstr("past shared memory"));
  EXPECT_THAT(LaunchAll(1, 32, 64, [&] { __pipeline_memcpy_async(SharedFloats(), from, 16); }),
              HasSubstr("ends before"));
}

TEST(CudaShim, ABarrierThatSomeThreadsLeaveOutIsFound) {
  EXPECT_THAT(LaunchAll(1, 64, 0,
                        [] {
                          if (threadIdx.x >= 10) __syncthreads();
                        }),
              HasSubstr("a barrier that 10 threads of the block left out"));
}

TEST(CudaShim, DifferentBarriersAreFound) {
  EXPECT_THAT(LaunchAll(1, 64, 0,
                        [] {
                          if (threadIdx.x < 32) {
                            __syncthreads();
                          } else {
                            __syncthreads();
                          }
                        }),
              HasSubstr("different barriers"));
}

TEST(CudaShim, AShuffleThatLacksALaneIsFound) {
  EXPECT_THAT(LaunchAll(1, 64, 0,
                        [] {
                          if (threadIdx.x != 40) __shfl_xor_sync(~0u, 1, 1);
                        }),
              HasSubstr("lacks lanes"));
  EXPECT_THAT(LaunchAll(1, 32, 0, [] { __shfl_xor_sync(0xfffffffeu, 1, 1); }), HasSubstr("not in its own mask"));
  EXPECT_THAT(LaunchAll(1, 40, 0, [] { __syncwarp(); }), HasSubstr("lacks lanes"));
}

TEST(CudaShim, DifferentShufflesOfOneWarpAreFound) {
  EXPECT_THAT(LaunchAll(1, 32, 0,
                        [] {
                          if (threadIdx.x < 16) {
                            __shfl_xor_sync(~0u, 1, 1);
                          } else {
                            __shfl_xor_sync(~0u, 1, 2);
                          }
                        }),
              HasSubstr("different operations"));
}

TEST(CudaShim, AWritePastSharedMemoryIsFound) {
  EXPECT_THAT(LaunchAll(1, 32, 128, [] { SharedFloats()[threadIdx.x + 1] = 0; }),
              HasSubstr("past the block's 128 bytes"));
}

TEST(CudaShim, ImpossibleShapesAreRefused) {
  EXPECT_THAT(LaunchAll(1, 2048, 0, [] {}), HasSubstr("threads"));
  EXPECT_THAT(LaunchAll(0, 32, 0, [] {}), HasSubstr("grid"));
  EXPECT_THAT(LaunchAll(1, 32, 300 << 10, [] {}), HasSubstr("shared memory"));
}

TEST(CudaShimDeathTest, ATouchBehindDeviceMemoryEndsTheProgram) {
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 1000 * sizeof(float)), cudaSuccess);
  float* x = static_cast<float*>(memory);
  EXPECT_DEATH(LaunchAll(1, 32, 0, [x] { x[1024 + threadIdx.x] = 0; }), "");
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST(CudaShim, ABrokenDeviceStaysBroken) {
  shim::Break(cudaErrorIllegalAddress);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(LaunchAll(1, 32, 0, [] {}), "cudaErrorIllegalAddress");
  shim::Heal();
  EXPECT_THAT(LaunchAll(1, 32, 0, [] {}), IsEmpty());
}

// --- several devices ---------------------------------------------------------------------------------------------

class CudaShimDevices : public testing::Test {
 protected:
  void SetUp() override {
    shim::SetDevices(2);
    for (const int device : {1, 0}) {
      ASSERT_EQ(cudaSetDevice(device), cudaSuccess);
      ASSERT_EQ(cudaStreamCreateWithFlags(&streams_[device], 0), cudaSuccess);
      ASSERT_EQ(cudaEventCreateWithFlags(&events_[device], 0), cudaSuccess);
      void* memory = nullptr;
      ASSERT_EQ(cudaMalloc(&memory, 64), cudaSuccess);
      memory_[device] = static_cast<int*>(memory);
    }
  }
  void TearDown() override {
    for (const int device : {0, 1}) {
      cudaStreamDestroy(streams_[device]);
      cudaEventDestroy(events_[device]);
      EXPECT_EQ(cudaFree(memory_[device]), cudaSuccess);
    }
    cudaSetDevice(0);
    shim::SetDevices(1);
  }
  // A kernel that writes there; empty, or the error.
  static std::string Write(cudaStream_t stream, int* memory) {
    cudaLaunchConfig_t config = {};
    config.blockDim = dim3(32);
    config.stream = stream;
    void (*kernel)(int*) = [](int* to) { to[threadIdx.x % 16] = 3; };
    const cudaError_t error = cudaLaunchKernelEx(&config, kernel, memory);
    return error == cudaSuccess ? "" : cudaGetErrorString(error);
  }

  cudaStream_t streams_[2];  // device 0's and device 1's, as all that follows
  cudaEvent_t events_[2];
  int* memory_[2];
};

TEST_F(CudaShimDevices, LaunchesAndMemsetsAreRefusedOnAnothersStream) {
  for (const int device : {0, 1}) {
    cudaSetDevice(device);
    EXPECT_THAT(Write(streams_[device], memory_[device]), IsEmpty());
    EXPECT_THAT(Write(nullptr, memory_[device]), IsEmpty());
    EXPECT_EQ(cudaMemsetAsync(memory_[device], 0, 64, streams_[device]), cudaSuccess);
  }
  EXPECT_EQ(Write(streams_[0], memory_[0]), "a stream of device 0 from a thread whose device is 1");
  EXPECT_EQ(cudaMemsetAsync(memory_[0], 0, 64, streams_[0]), cudaErrorInvalidResourceHandle);
}

TEST_F(CudaShimDevices, CopiesGoWellOnAnothersStreamWithItsOwnMemory) {
  int value = 5, back = 0;
  EXPECT_EQ(cudaMemcpyAsync(memory_[1], &value, sizeof(value), cudaMemcpyHostToDevice, streams_[1]), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(&back, memory_[1], sizeof(back), cudaMemcpyDeviceToHost, streams_[1]), cudaSuccess);
  EXPECT_EQ(back, 5);
  for (const cudaStream_t stream : {streams_[0], cudaStream_t{}}) {
    EXPECT_EQ(cudaMemcpyAsync(memory_[1], &value, sizeof(value), cudaMemcpyHostToDevice, stream),
              cudaErrorInvalidResourceHandle);
  }
  EXPECT_EQ(cudaMemsetAsync(memory_[1] + 3, 0, 4, nullptr), cudaErrorInvalidResourceHandle);
}

TEST_F(CudaShimDevices, AnEventIsRecordedOnItsOwnDeviceAlone) {
  EXPECT_EQ(cudaEventRecord(events_[1], streams_[1]), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(streams_[0], events_[1], 0), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(events_[1], streams_[0]), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(events_[1], nullptr), cudaErrorInvalidResourceHandle);
}

TEST_F(CudaShimDevices, AGraphStaysOnTheDeviceThatItWasCapturedOn) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(streams_[0], cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_THAT(Write(streams_[0], memory_[0]), IsEmpty());
  cudaSetDevice(1);
  EXPECT_THAT(Write(streams_[1], memory_[1]), IsEmpty());  // is none of the capture's
  ASSERT_EQ(cudaStreamEndCapture(streams_[0], &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, streams_[0]), cudaSuccess);
  int back = 0;
  EXPECT_EQ(cudaMemcpyAsync(&back, memory_[0], sizeof(back), cudaMemcpyDeviceToHost, streams_[0]), cudaSuccess);
  EXPECT_EQ(back, 3);
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(exec);
}

TEST_F(CudaShimDevices, ThereAreNoMore) {
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(-1), cudaErrorInvalidDevice);
}

using CudaShimDevicesDeathTest = CudaShimDevices;

TEST_F(CudaShimDevicesDeathTest, AKernelThatTouchesAnothersMemoryEndsTheProgram) {
  EXPECT_DEATH(Write(streams_[0], memory_[1]), "");
}

}  // namespace
}  // namespace barista

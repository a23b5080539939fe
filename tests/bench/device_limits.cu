// What this card reaches, the device's twin of limits.h: how fast its memory is read and copied, and the rate of
// cuBLAS' products of bf16 (f32 sums) and of f32 (TF32 off). Figures of other device programs are held against these,
// taken on the same card.
//
//   device_limits [--device=0] [--megabytes=1024] [--rounds=20] [--json]
//
// Rows take turns, round by round; a figure is the median over all rounds, by the device's own clock, of calls back to
// back. A copy counts its bytes twice, read and written. The limit of a kind is the highest of its rows. Copies and
// products are checked before they are timed. Data is random: products of zeros draw less power and run faster. Where
// the machine has no cuBLAS there are no products (cublas.h).
//
// Exit code: 0; 77 without a driver or device, with one line on stderr; 1 where a call fails, with its name, or where a
// result is wrong; 64 for a bad flag.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_format.h"
#include "tests/bench/cublas.h"
#include "tests/bench/device.cuh"

ABSL_FLAG(int, device, 0, "which card");
ABSL_FLAG(int, megabytes, 1024, "MiB of each buffer that is read or copied; far above the card's L2 cache");
ABSL_FLAG(int, rounds, 20, "rounds");
ABSL_FLAG(bool, json, false, "one JSON line with the limits, in bytes and operations a second, instead of the table");

namespace barista::bench {
namespace {

constexpr int kNoDevice = 77;
constexpr double kRoundMillis = 4;  // of a row in a round: launches and events must not count

void CheckThat(bool right, const std::string& what) {
  if (right) return;
  std::fprintf(stderr, "wrong result: %s\n", what.c_str());
  std::exit(1);
}

// A thread moves `each` times 16 bytes; all its loads are on their way before it stores.
template <int each>
__global__ void Copy(const uint4* from, uint4* to) {
  const uint64_t first = uint64_t{blockIdx.x} * kThreads * each + threadIdx.x;
  uint4 words[each];
#pragma unroll
  for (int i = 0; i < each; ++i) words[i] = __ldcs(from + first + i * kThreads);
#pragma unroll
  for (int i = 0; i < each; ++i) __stcs(to + first + i * kThreads, words[i]);
}

// `sink` is written only where the words of a thread have one certain sum, so that the loads have a use.
template <int each>
__global__ void Read(const uint4* from, uint32_t* sink) {
  const uint64_t first = uint64_t{blockIdx.x} * kThreads * each + threadIdx.x;
  uint4 words[each];
#pragma unroll
  for (int i = 0; i < each; ++i) words[i] = __ldcs(from + first + i * kThreads);
  uint32_t sum = 0;
#pragma unroll
  for (int i = 0; i < each; ++i) sum ^= words[i].x ^ words[i].y ^ words[i].z ^ words[i].w;
  if (sum == 0x5eed5eedu) *sink = sum;
}

__global__ void CountDifferent(const uint4* a, const uint4* b, unsigned long long* count) {
  const uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const uint4 x = a[i], y = b[i];
  if (x.x != y.x || x.y != y.y || x.z != y.z || x.w != y.w) atomicAdd(count, 1ull);
}

struct Row {
  std::string kind;  // of which the highest row is the limit
  std::string name, unit;
  double amount = 0;  // units of one call, times seconds: GB or TFLOP
  std::function<void()> call;
  std::vector<double> rates;

  double Rate() {  // median
    std::sort(rates.begin(), rates.end());
    return rates[rates.size() / 2];
  }
};

// Milliseconds of one of `calls` calls back to back.
double Time(const std::function<void()>& call, int calls) {
  struct Event {
    Event() { CHECK_CALL(cudaEventCreate(&event)); }
    ~Event() { CHECK_CALL(cudaEventDestroy(event)); }
    cudaEvent_t event = nullptr;
  } begin, end;
  CHECK_CALL(cudaEventRecord(begin.event));
  for (int i = 0; i < calls; ++i) call();
  CHECK_CALL(cudaEventRecord(end.event));
  CHECK_CALL(cudaEventSynchronize(end.event));
  float millis = 0;
  CHECK_CALL(cudaEventElapsedTime(&millis, begin.event, end.event));
  return static_cast<double>(millis) / calls;
}

// The buffers that are read and copied, and the rows that do it.
class Memory {
 public:
  explicit Memory(uint64_t bytes)
      : bytes_(bytes),
        from_(Random<float>(bytes / sizeof(float), 0)),
        to_(Allocate<float>(bytes / sizeof(float))),
        count_(Allocate<unsigned long long>(1)) {}

  void AddRows(std::vector<Row>& rows) {
    AddKernels<1>(rows);
    AddKernels<2>(rows);
    AddKernels<4>(rows);
    AddKernels<8>(rows);
    AddCopy(rows, "copy, cudaMemcpyAsync",
            [this] { CHECK_CALL(cudaMemcpyAsync(to_.get(), from_.get(), bytes_, cudaMemcpyDeviceToDevice)); });
  }

 private:
  template <int each>
  void AddKernels(std::vector<Row>& rows) {
    const auto* from = reinterpret_cast<const uint4*>(from_.get());
    auto* to = reinterpret_cast<uint4*>(to_.get());
    auto* sink = reinterpret_cast<uint32_t*>(count_.get());
    const auto blocks = static_cast<unsigned>(bytes_ / (sizeof(uint4) * kThreads * each));
    rows.push_back(
        {"read", absl::StrFormat("read, %d x 16 bytes a thread", each), "GB/s", static_cast<double>(bytes_) / 1e9, [=] {
           Read<each><<<blocks, kThreads>>>(from, sink);
           CHECK_CALL(cudaGetLastError());
         }});
    AddCopy(rows, absl::StrFormat("copy, %d x 16 bytes a thread", each), [=] {
      Copy<each><<<blocks, kThreads>>>(from, to);
      CHECK_CALL(cudaGetLastError());
    });
  }

  void AddCopy(std::vector<Row>& rows, const std::string& name, std::function<void()> call) {
    CHECK_CALL(cudaMemset(to_.get(), 0xff, bytes_));
    CHECK_CALL(cudaMemset(count_.get(), 0, sizeof(unsigned long long)));
    call();
    CountDifferent<<<static_cast<unsigned>(bytes_ / (sizeof(uint4) * kThreads)), kThreads>>>(
        reinterpret_cast<const uint4*>(from_.get()), reinterpret_cast<const uint4*>(to_.get()), count_.get());
    CHECK_CALL(cudaGetLastError());
    unsigned long long different = 0;
    CHECK_CALL(cudaMemcpy(&different, count_.get(), sizeof(different), cudaMemcpyDeviceToHost));
    CheckThat(different == 0, absl::StrFormat("%s: %d words of 16 bytes differ", name, different));
    rows.push_back({"copy", name, "GB/s", 2 * static_cast<double>(bytes_) / 1e9, std::move(call)});
  }

  uint64_t bytes_;
  Array<float> from_, to_;
  Array<unsigned long long> count_;
};

struct Shape {
  int rows, in, out;  // in the table: rows x in x out
};

// A product as the model's projections are.
template <typename T>
class Product {
 public:
  Product(const Cublas& cublas, Shape shape)
      : cublas_(cublas),
        shape_(shape),
        x_(Random<T>(uint64_t(shape.rows) * shape.in, kSeedX)),
        w_(Random<T>(uint64_t(shape.out) * shape.in, kSeedW)),
        y_(Allocate<float>(uint64_t(shape.rows) * shape.out)) {}

  void AddRow(std::vector<Row>& rows) {
    (*this)();
    CheckSome();
    const double flop = 2.0 * shape_.rows * shape_.in * shape_.out;
    rows.push_back({Kind(), Name(), "TFLOP/s", flop / 1e12, [this] { (*this)(); }});
  }

 private:
  static constexpr bool kFloat = std::is_same_v<T, float>;
  static constexpr uint64_t kSeedX = 1, kSeedW = uint64_t{1} << 40;

  static std::string Kind() { return kFloat ? "f32" : "bf16"; }
  std::string Name() const {
    return absl::StrFormat("%s product %d x %d x %d", Kind(), shape_.rows, shape_.in, shape_.out);
  }

  void operator()() {
    cublas_.Multiply(kFloat ? CUDA_R_32F : CUDA_R_16BF, shape_.rows, shape_.in, shape_.out, x_.get(), w_.get(),
                     y_.get());
  }

  // Some places of y against sums in double. Errors are relative to the root of the sum of squares: f32 sums stay near
  // 1e-5 for the shapes here, TF32 operands cost above 1e-4.
  void CheckSome() {
    constexpr double kTolerance = kFloat ? 5e-5 : 1e-3;
    for (uint64_t i = 0; i < 64; ++i) {
      const uint64_t row = i * 2654435761u % shape_.rows, out = i * 2246822519u % shape_.out;
      double want = 0, squares = 0;
      for (uint64_t k = 0; k < uint64_t(shape_.in); ++k) {
        const double term = static_cast<double>(static_cast<float>(Value<T>(row * shape_.in + k + kSeedX))) *
                            static_cast<double>(static_cast<float>(Value<T>(out * shape_.in + k + kSeedW)));
        want += term;
        squares += term * term;
      }
      float got = NAN;
      CHECK_CALL(cudaMemcpy(&got, y_.get() + row * shape_.out + out, sizeof(got), cudaMemcpyDeviceToHost));
      const double error = std::fabs(got - want) / std::sqrt(squares);
      CheckThat(error < kTolerance, absl::StrFormat("%s: relative error %.1e at row %d, column %d; %.1e is allowed",
                                                    Name(), error, row, out, kTolerance));
    }
  }

  const Cublas& cublas_;
  Shape shape_;
  Array<T> x_, w_;
  Array<float> y_;
};

void RunInTurns(std::vector<Row>& rows, int rounds) {
  std::vector<int> calls;
  for (const Row& row : rows) {
    row.call();
    calls.push_back(static_cast<int>(std::clamp(kRoundMillis / Time(row.call, 3), 1.0, 1000.0)));
  }
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < rows.size(); ++i)
      rows[i].rates.push_back(rows[i].amount * 1e3 / Time(rows[i].call, calls[i]));
  }
}

void PrintTable(std::vector<Row>& rows, bool products) {
  std::printf("| what | median | lowest | highest | |\n|---|---|---|---|---|\n");
  for (Row& row : rows) {
    const double median = row.Rate();
    std::printf("| %s | %.1f | %.1f | %.1f | %s |\n", row.name.c_str(), median, row.rates.front(), row.rates.back(),
                row.unit.c_str());
  }
  if (!products) std::printf("| products | no cuBLAS | | | |\n");
}

void PrintJson(const std::string& card, std::vector<Row>& rows) {
  std::map<std::string, double> limits;
  for (Row& row : rows) {
    const double unit = row.unit == "GB/s" ? 1e9 : 1e12;
    limits[row.kind] = std::max(limits[row.kind], row.Rate() * unit);
  }
  std::printf("{\"card\": \"%s\"", card.c_str());
  for (const auto& [kind, rate] : limits) std::printf(", \"%s\": %.6g", kind.c_str(), rate);
  std::printf("}\n");
}

[[noreturn]] void NoDevice(const std::string& why) {
  std::fprintf(stderr, "no CUDA device: %s\n", why.c_str());
  std::exit(kNoDevice);
}

// What people call it, in one line.
std::string ChooseDevice(int device) {
  int driver = 0, devices = 0;
  CHECK_CALL(cudaDriverGetVersion(&driver));
  if (driver == 0) NoDevice("this machine has no NVIDIA driver");
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) {
    NoDevice(absl::StrFormat("cudaGetDeviceCount: %s (%s); the driver knows CUDA %d.%d", cudaGetErrorString(error),
                             cudaGetErrorName(error), driver / 1000, driver % 1000 / 10));
  }
  if (device >= devices) NoDevice(absl::StrFormat("--device=%d, and there are %d", device, devices));
  CHECK_CALL(cudaSetDevice(device));
  cudaDeviceProp card = {};
  CHECK_CALL(cudaGetDeviceProperties(&card, device));
  return absl::StrFormat(
      "%s, compute capability %d.%d, %d multiprocessors, %.1f GiB, L2 %.0f MiB; driver for CUDA %d.%d, runtime %d.%d",
      card.name, card.major, card.minor, card.multiProcessorCount,
      static_cast<double>(card.totalGlobalMem) / 1073741824, static_cast<double>(card.l2CacheSize) / 1048576,
      driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

void Run(const std::string& card) {
  Memory memory(static_cast<uint64_t>(absl::GetFlag(FLAGS_megabytes)) << 20);
  const std::unique_ptr<Cublas> cublas = Cublas::Find();
  std::vector<Row> rows;
  memory.AddRows(rows);
  std::vector<std::unique_ptr<Product<__nv_bfloat16>>> of_bf16;
  std::vector<std::unique_ptr<Product<float>>> of_f32;
  constexpr Shape kLarge = {8192, 8192, 8192}, kUp = {4096, 768, 3072}, kDown = {4096, 3072, 768};
  if (cublas != nullptr) {
    for (const Shape& shape : {kLarge, kUp, kDown}) {
      of_bf16.push_back(std::make_unique<Product<__nv_bfloat16>>(*cublas, shape));
      of_bf16.back()->AddRow(rows);
    }
    for (const Shape& shape : {kLarge, kUp}) {
      of_f32.push_back(std::make_unique<Product<float>>(*cublas, shape));
      of_f32.back()->AddRow(rows);
    }
  }
  RunInTurns(rows, absl::GetFlag(FLAGS_rounds));
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(card, rows);
  } else {
    std::printf("%s\n\n", card.c_str());
    PrintTable(rows, cublas != nullptr);
  }
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_rounds) < 1 || absl::GetFlag(FLAGS_megabytes) < 1 || absl::GetFlag(FLAGS_device) < 0) {
    std::fprintf(stderr, "device_limits: --rounds and --megabytes must be at least 1, --device at least 0\n");
    return 64;
  }
  barista::bench::Run(barista::bench::ChooseDevice(absl::GetFlag(FLAGS_device)));
}

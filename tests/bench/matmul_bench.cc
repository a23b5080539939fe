// Linear layers on this machine's best instruction set, beside the limits measured in the same run: read bandwidth
// where rows are few, arithmetic where they are many. The peer is oneDNN with bf16 weights packed once.
//
//   matmul_bench [--threads=1,2] [--dtype=bf16,f32,int8,int4] [--shape=768x2560,…] [--rows=1,8,…] [--megabytes=1024]
//
// "cold" rotates over copies of the weight until they fill --megabytes (more than the last-level cache), as a decode
// step of a large model does; otherwise one set of up to 64 MB is reused. All figures are medians of interleaved
// rounds.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "dnnl.hpp"
#include "kernels/matmul/matmul_cpu.h"
#include "tests/bench/limits.h"

ABSL_FLAG(std::vector<std::string>, threads, std::vector<std::string>({"1", "2"}), "threads, the caller included");
ABSL_FLAG(std::vector<std::string>, dtype, std::vector<std::string>({"bf16", "f32"}), "bf16, f16, f32, int8, int4");
ABSL_FLAG(std::vector<std::string>, shape,
          std::vector<std::string>({"768x768", "768x5120", "2560x768", "2304x9216", "768x50304"}), "inputs x outputs");
ABSL_FLAG(std::vector<std::string>, rows, std::vector<std::string>({"1", "8", "32", "512", "4096"}), "rows");
ABSL_FLAG(int64_t, megabytes, 1024, "weights to rotate over in the cold rows");
ABSL_FLAG(std::string, isa, "auto", "instruction set");
ABSL_FLAG(bool, cpu_time, false, "count the calling thread's own time: for one thread on a busy machine");
ABSL_FLAG(int, rounds, 5, "rounds; the median counts");

namespace barista {
namespace {

using bench::Median;

bench::Clock BenchClock() { return absl::GetFlag(FLAGS_cpu_time) ? bench::ThreadTime : bench::Now; }

// ---- ours and the peer

struct Shape {
  int64_t in, out, rows;
};

// A weight's type, and what it is quantised to.
struct Kind {
  DType dtype = DType::kBF16;
  Quantization quantization = Quantization::kNone;
  double bytes = 2;  // an element
};

std::vector<uint8_t> RandomWeight(const Shape& s, DType dtype) {
  std::mt19937 random(1);
  std::vector<uint8_t> raw(s.in * s.out * SizeOf(dtype));
  for (int64_t i = 0; i < s.in * s.out; ++i) {
    const float value = (static_cast<float>(random() % 2001) - 1000.0f) * 1e-3f;
    if (dtype == DType::kF32) std::memcpy(&raw[i * 4], &value, 4);
    const uint16_t bits = dtype == DType::kBF16 ? ToBFloat16(value).bits : ToFloat16(value).bits;
    if (dtype != DType::kF32) std::memcpy(&raw[i * 2], &bits, 2);
  }
  return raw;
}

class Ours {
 public:
  Ours(ThreadPool& pool, CpuIsa isa, const Shape& s, const Kind& kind, const void* weight, int64_t copies)
      : matmul_(pool), x_(*AllocateHost(s.rows * s.in * 4, "x")), y_(*AllocateHost(s.rows * s.out * 4, "y")) {
    HostMatrix m;
    m.data = weight, m.dtype = kind.dtype, m.out = s.out, m.in = s.in;
    for (int64_t i = 0; i < copies; ++i) {
      weights_.push_back(*CpuLinear::Create({&m, 1}, std::nullopt, kind.quantization, isa, pool));
    }
    if (!matmul_.Reserve(s.in).ok()) std::abort();
    std::fill_n(reinterpret_cast<float*>(x_.data()), s.rows * s.in, 0.5f);
    call_.x = {x_.data(), DType::kF32, s.rows, s.in, s.in};
    call_.y = {y_.data(), DType::kF32, s.rows, s.out, s.out};
  }
  void Run() {
    call_.weight = weights_[next_++ % weights_.size()].get();
    matmul_.Multiply({&call_, 1});
  }

 private:
  CpuMatmul matmul_;
  std::vector<std::unique_ptr<CpuLinear>> weights_;
  Buffer x_, y_;
  LinearCall call_;
  size_t next_ = 0;
};

// Activations enter as float, as ours do, and are converted to bf16 where the weights are (once a call, by oneDNN).
class Peer {
 public:
  Peer(const Shape& s, DType dtype, const void* weight, int64_t copies) : engine_(dnnl::engine::kind::cpu, 0) {
    using dnnl::memory;
    using tag = memory::format_tag;
    const auto type = dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::desc x_float({s.rows, s.in}, memory::data_type::f32, tag::ab);
    const memory::desc y({s.rows, s.out}, memory::data_type::f32, tag::ab);
    const memory::desc w_any({s.in, s.out}, type, tag::any), w_plain({s.in, s.out}, type, tag::ba);
    const memory::desc x({s.rows, s.in}, type, tag::ab);
    const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(x, w_any, y), engine_);
    product_ = dnnl::matmul(desc);
    stream_ = dnnl::stream(engine_);
    x_float_ = memory(x_float, engine_);
    std::fill_n(static_cast<float*>(x_float_.get_data_handle()), s.rows * s.in, 0.5f);
    x_ = dtype == DType::kBF16 ? memory(x, engine_) : x_float_;
    if (dtype == DType::kBF16) convert_ = dnnl::reorder(x_float_, x_);
    y_ = memory(y, engine_);
    memory plain(w_plain, engine_, const_cast<void*>(weight));
    for (int64_t i = 0; i < copies; ++i) {
      weights_.emplace_back(desc.weights_desc(), engine_);
      dnnl::reorder(plain, weights_.back()).execute(stream_, plain, weights_.back());
    }
    stream_.wait();
  }
  void Run() {
    if (convert_) convert_.execute(stream_, x_float_, x_);
    product_.execute(stream_,
                     {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, weights_[next_++ % weights_.size()]}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul product_;
  dnnl::reorder convert_;
  dnnl::memory x_float_, x_, y_;
  std::vector<dnnl::memory> weights_;
  size_t next_ = 0;
};

template <class Side>
double SecondsOf(Side& side, int64_t times) {
  side.Run();
  const bench::Clock now = BenchClock();
  const double begin = now();
  for (int64_t i = 0; i < times; ++i) side.Run();
  return (now() - begin) / static_cast<double>(times);
}

Kind KindNamed(const std::string& name) {
  if (name == "int8") return {.quantization = Quantization::kInt8, .bytes = 1};
  if (name == "int4") return {.quantization = Quantization::kInt4, .bytes = 0.5 + 0.5 / kQuantizedGroup};
  const DType dtype = name == "bf16" ? DType::kBF16 : name == "f16" ? DType::kF16 : DType::kF32;
  return {.dtype = dtype, .bytes = static_cast<double>(SizeOf(dtype))};
}

void RunShape(ThreadPool& pool, CpuIsa isa, const Shape& s, const std::string& type, bool cold, const Buffer& memory,
              double peak) {
  const Kind kind = KindNamed(type);
  const DType dtype = kind.dtype;
  const int64_t bytes = static_cast<int64_t>(static_cast<double>(s.in * s.out) * kind.bytes);
  const int64_t copies = cold ? std::max<int64_t>(1, (absl::GetFlag(FLAGS_megabytes) << 20) / bytes) : 1;
  const std::vector<uint8_t> raw = RandomWeight(s, dtype);
  Ours ours(pool, isa, s, kind, raw.data(), copies);
  std::unique_ptr<Peer> peer;
  if (dtype != DType::kF16 && kind.quantization == Quantization::kNone)
    peer = std::make_unique<Peer>(s, dtype, raw.data(), copies);
  const double flops = 2.0 * static_cast<double>(s.rows * s.in * s.out);
  const double estimate = std::max(static_cast<double>(bytes) / 30e9, flops / (peak * 1e9));
  const int64_t times = std::clamp<int64_t>(static_cast<int64_t>(0.1 / estimate), 1, std::max<int64_t>(copies, 64));
  std::vector<double> our_s, peer_s, reads;
  for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    if (cold) reads.push_back(bench::ReadRate(pool, memory, static_cast<int64_t>(memory.size()), BenchClock()));
    our_s.push_back(SecondsOf(ours, times));
    if (peer == nullptr) continue;
    peer_s.push_back(SecondsOf(*peer, times));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // its threads spin for a while
  }
  const double seconds = Median(our_s), rate = static_cast<double>(bytes) / seconds / 1e9;
  std::printf("| %d | %s | %lldx%lld | %lld%s | %.4f | %.1f | ", pool.threads(), type.c_str(),
              static_cast<long long>(s.in), static_cast<long long>(s.out), static_cast<long long>(s.rows),
              cold ? " cold" : "", seconds * 1e3, rate);
  if (cold) {
    const double limit = Median(reads) / 1e9;
    std::printf("%.0f %% of %.1f | ", 100 * rate / limit, limit);
  } else {
    std::printf("| ");
  }
  std::printf("%.0f | %.0f %% | ", flops / seconds / 1e9, 100 * flops / seconds / 1e9 / peak);
  if (peer != nullptr) std::printf("%.4f | %.2f |\n", Median(peer_s) * 1e3, Median(peer_s) / seconds);
  if (peer == nullptr) std::printf("| |\n");
  std::fflush(stdout);
}

int64_t ToInt(absl::string_view text) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) std::fprintf(stderr, "not a number: %s\n", std::string(text).c_str());
  return value;
}

void RunAll() {
  const absl::StatusOr<CpuIsa> isa = ChooseIsa(absl::GetFlag(FLAGS_isa));
  if (!isa.ok()) {
    std::fprintf(stderr, "%s\n", isa.status().ToString().c_str());
    return;
  }
  Buffer memory = *AllocateHost(absl::GetFlag(FLAGS_megabytes) << 20, "read test");
  std::fill_n(memory.data(), memory.size(), std::byte{1});
  std::printf("instruction set: %s\n", std::string(Name(*isa)).c_str());
  std::printf(
      "| threads | type | in x out | rows | ms | GB/s | of read bandwidth | GFLOP/s | of peak | oneDNN ms | x |\n");
  std::printf("|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const std::string& threads : absl::GetFlag(FLAGS_threads)) {
    ThreadPool pool(static_cast<int>(ToInt(threads)));
    omp_set_num_threads(pool.threads());
    for (const std::string& dtype : absl::GetFlag(FLAGS_dtype)) {
      const double peak = bench::PeakRate(pool, *isa, KindNamed(dtype).dtype, BenchClock()) / 1e9;
      for (const std::string& shape : absl::GetFlag(FLAGS_shape)) {
        for (const std::string& rows : absl::GetFlag(FLAGS_rows)) {
          const std::vector<std::string> sides = absl::StrSplit(shape, 'x');
          const Shape s = {ToInt(sides[0]), ToInt(sides[1]), ToInt(rows)};
          if (s.rows * s.out > int64_t{1} << 27) continue;
          if (s.rows <= 64) RunShape(pool, *isa, s, dtype, true, memory, peak);
          if (s.rows <= 8 || s.rows > 64) RunShape(pool, *isa, s, dtype, false, memory, peak);
        }
      }
    }
  }
}

}  // namespace
}  // namespace barista

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  barista::RunAll();
}

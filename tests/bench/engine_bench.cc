// The engine's work without the engine: decode steps and prompts of a real checkpoint, held against the limits of this
// machine that are measured in the same rounds.
//
//   engine_bench --model=DIR [--backend=cpu] [--weights=bf16,f32] [--threads=1,2] [--batch=1,8,32] [--prefill=512,4096]
//                [--context=256] [--step_tokens_max=512] [--rounds=5] [--seconds=0.3] [--cpu_time] [--json]
//
// All combinations are loaded at once and take turns, round by round; figures are medians over all rounds. On a CPU the
// limit of a step is the longer of its bytes over the read rate and its products over the peak rate.
//
// On a card (--backend=cuda) nothing of the CPU is measured; device_limits has the card's limits, and gpu_figures.py
// holds one against the other. A decode step's time is there the mean of a run of steps, round by round: each step is
// launched before the draws of the one ahead are read, so the device has no pause between them, and the host's clock
// over the run is the device's time. That is so while the host launches a step faster than the device takes it; both
// are printed, and where the host is slower the figure is what the engine would reach too. A prompt's time is the
// host's, from its first piece until its first token is there.
#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/isa.h"
#include "nlohmann/json.hpp"
#include "tests/bench/limits.h"
#include "tests/bench/machine_load.h"
#include "tests/bench/streams.h"
#include "tests/bench/work.h"

using StringList = std::vector<std::string>;
ABSL_FLAG(std::string, model, "", "checkpoint directory");
ABSL_FLAG(std::string, backend, "cpu", "cpu or cuda");
ABSL_FLAG(StringList, weights, StringList({"bf16", "f32"}), "auto, f32, bf16, f16, int8, int4");
ABSL_FLAG(StringList, threads, StringList({"1", "2"}), "threads, the caller included");
ABSL_FLAG(StringList, batch, StringList({"1", "8", "32"}), "sessions of a decode step");
ABSL_FLAG(StringList, prefill, StringList({"512", "4096"}), "tokens of a prompt");
ABSL_FLAG(int64_t, context, 256, "tokens in every session before its decode steps are timed");
ABSL_FLAG(int64_t, step_tokens_max, 512, "tokens of a prompt that a step reads; more where a batch is larger");
ABSL_FLAG(int, rounds, 5, "rounds");
ABSL_FLAG(double, seconds, 0.3, "time of decode steps a point and round");
ABSL_FLAG(int, limit_megabytes, 1024, "buffer of the read limit");
ABSL_FLAG(bool, cpu_time, false, "with one thread: count the time it ran, for drafts on a busy machine");
ABSL_FLAG(bool, json, false, "one JSON line instead of tables");

namespace barista::bench {
namespace {

std::vector<int64_t> Numbers(const StringList& words) {
  std::vector<int64_t> numbers;
  for (const std::string& word : words) {
    int64_t number = 0;
    if (word.empty()) continue;
    if (!absl::SimpleAtoi(word, &number) || number < 1) {
      std::fprintf(stderr, "not a positive number: %s\n", word.c_str());
      std::exit(64);
    }
    numbers.push_back(number);
  }
  return numbers;
}

struct Point {
  bool prefill = false;
  int64_t count = 0;                 // sessions, or tokens of the prompt
  std::unique_ptr<Streams> streams;  // they stay: later rounds go on where earlier ones ended
  std::vector<double> seconds;
};

// One model in one element type on one number of threads, and what was measured of it.
class Setup {
 public:
  static absl::StatusOr<std::unique_ptr<Setup>> Create(const std::string& weights, int64_t threads, CpuIsa isa) {
    const std::vector<int64_t> batches = Numbers(absl::GetFlag(FLAGS_batch));
    const int64_t slots = std::accumulate(batches.begin(), batches.end(), int64_t{1});
    int64_t rows_max = absl::GetFlag(FLAGS_step_tokens_max);
    for (const int64_t batch : batches) rows_max = std::max(rows_max, batch);
    BackendOptions options;
    options.kind = absl::GetFlag(FLAGS_backend);
    options.threads = static_cast<int>(threads);
    absl::StatusOr<LoadedModel> loaded =
        LoadModel(absl::GetFlag(FLAGS_model), weights, options, static_cast<int32_t>(slots), rows_max);
    if (!loaded.ok()) return loaded.status();
    auto setup = std::unique_ptr<Setup>(new Setup(*std::move(loaded), threads, isa));
    int32_t first_slot = 0;
    const auto add = [&](bool prefill, int64_t count, int64_t sessions) {
      auto streams = std::make_unique<Streams>(setup->loaded_, first_slot, static_cast<int32_t>(sessions));
      setup->points_.push_back({.prefill = prefill, .count = count, .streams = std::move(streams)});
    };
    // Prompts take turns on slot 0.
    for (const int64_t tokens : Numbers(absl::GetFlag(FLAGS_prefill))) add(true, tokens, 1);
    first_slot = 1;
    for (const int64_t batch : batches) {
      add(false, batch, batch);
      setup->points_.back().streams->Read(absl::GetFlag(FLAGS_context));
      first_slot += static_cast<int32_t>(batch);
    }
    return setup;
  }

  // memory: of the read limit, on a CPU.
  void Round(const Buffer& memory) {
    if (!on_card()) MeasureLimits(memory);
    for (Point& point : points_) point.prefill ? Prefill(point) : Decode(point);
  }

  std::string Describe() const { return loaded_.backend->Describe(); }
  bool on_card() const { return loaded_.backend->queues(); }
  absl::Status status() const { return loaded_.backend->status(); }

  void PrintLimits() const {
    std::printf("| %s | %lld | %.1f | %.1f (%.0f MB) | %.0f |\n", TypeName().c_str(), Threads(), MemoryRate() / 1e9,
                CachedRate() / 1e9, WeightBytes(*loaded_.model) / 1e6, Peak() / 1e9);
  }

  void PrintPoints() const {
    for (const Point& p : points_) {
      const double seconds = Median(p.seconds);
      const Work work = WorkOf(p);
      std::printf("| %s | %lld | %s %lld | %.3f | %.3f | %.0f | ", TypeName().c_str(), Threads(),
                  p.prefill ? "prefill" : "decode x", static_cast<long long>(p.count), seconds * 1e3,
                  Quantile(p.seconds, 0.9) * 1e3, static_cast<double>(p.count) / seconds);
      if (p.prefill) std::printf("| ");
      if (!p.prefill) std::printf("%.1f | ", work.bytes / seconds / 1e9);
      std::printf("%.0f | ", work.flops / seconds / 1e9);
      if (on_card() && p.prefill) {
        std::printf("|\n");
      } else if (on_card()) {
        std::printf("%.3f |\n", p.streams->launch_seconds() * 1e3);
      } else {
        std::printf("%.0f %% | %.0f %% |\n", 100 * Limit(work, MemoryRate()) / seconds,
                    100 * Limit(work, CachedRate()) / seconds);
      }
    }
  }

  nlohmann::json Json() const {
    nlohmann::json result = {{"weights", TypeName()},
                             {"threads", Threads()},
                             {"weight_bytes", loaded_.model->weights().bytes},
                             {"points", nlohmann::json::array()}};
    if (!on_card()) result.update({{"read_rate", MemoryRate()}, {"product_rate", Peak()}});
    for (const Point& p : points_) {
      const double seconds = Median(p.seconds);
      const Work work = WorkOf(p);
      nlohmann::json point = {{"kind", p.prefill ? "prefill" : "decode"},
                              {"count", p.count},
                              {"seconds", seconds},
                              {"bytes", work.bytes},
                              {"flops", work.flops},
                              {"tokens_per_second", static_cast<double>(p.count) / seconds}};
      if (!on_card()) point["of_limit"] = Limit(work, MemoryRate()) / seconds;
      if (on_card() && !p.prefill) point["launch_seconds"] = p.streams->launch_seconds();
      result["points"].push_back(std::move(point));
    }
    return result;
  }

 private:
  Setup(LoadedModel loaded, int64_t threads, CpuIsa isa)
      : loaded_(std::move(loaded)),
        pool_(static_cast<int>(threads)),
        isa_(isa),
        clock_(threads == 1 && absl::GetFlag(FLAGS_cpu_time) ? ThreadTime : Now) {}

  void MeasureLimits(const Buffer& memory) {
    constexpr int64_t kMegabyte = int64_t{1} << 20;
    const int64_t weights = std::min<int64_t>(
        static_cast<int64_t>(memory.size()), static_cast<int64_t>(WeightBytes(*loaded_.model)) / kMegabyte * kMegabyte);
    memory_rates_.push_back(ReadRate(pool_, memory, static_cast<int64_t>(memory.size()), clock_));
    ReadRate(pool_, memory, weights, clock_);
    for (int i = 0; i < 3; ++i) cached_rates_.push_back(ReadRate(pool_, memory, weights, clock_));
    for (int i = 0; i < 3; ++i) peaks_.push_back(PeakRate(pool_, isa_, dtype(), clock_));
  }

  void Decode(Point& point) const {
    point.streams->Time(std::numeric_limits<int64_t>::max(), absl::GetFlag(FLAGS_seconds), clock_, point.seconds);
  }

  void Prefill(Point& point) const {
    point.streams->Reset();
    point.streams->Read(kChunk);  // the slot's pages are there
    point.streams->Reset();
    const double begin = clock_();
    point.streams->Read(point.count);
    point.seconds.push_back(clock_() - begin);
  }

  Work WorkOf(const Point& p) const {
    return p.prefill ? PrefillWork(*loaded_.model, p.count) : DecodeWork(*loaded_.model, p.count);
  }
  double Limit(const Work& work, double read_rate) const {
    return std::max(work.bytes / read_rate, work.flops / Peak());
  }
  double MemoryRate() const { return Median(memory_rates_); }
  double CachedRate() const { return Median(cached_rates_); }
  double Peak() const { return Median(peaks_); }
  DType dtype() const { return loaded_.model->weights().dtype; }
  std::string TypeName() const { return std::string(loaded_.model->weights().type_name()); }
  long long Threads() const { return pool_.threads(); }

  LoadedModel loaded_;
  ThreadPool pool_;  // of the limits; sleeps while the model works
  CpuIsa isa_;
  Clock clock_;
  std::vector<Point> points_;
  std::vector<double> memory_rates_, cached_rates_, peaks_;
};

absl::StatusOr<std::vector<std::unique_ptr<Setup>>> LoadAll(CpuIsa isa) {
  std::vector<int64_t> threads = Numbers(absl::GetFlag(FLAGS_threads));
  if (absl::GetFlag(FLAGS_backend) == "cuda") threads = {1};  // they are the CPU's
  std::vector<std::unique_ptr<Setup>> setups;
  for (const std::string& weights : absl::GetFlag(FLAGS_weights)) {
    for (const int64_t count : threads) {
      auto setup = Setup::Create(weights, count, isa);
      if (!setup.ok()) return setup.status();
      setups.push_back(*std::move(setup));
    }
  }
  if (setups.empty()) return absl::InvalidArgumentError("--weights and --threads must name something");
  return setups;
}

// A device that failed does nothing, and does it fast.
absl::Status StatusOf(const std::vector<std::unique_ptr<Setup>>& setups) {
  for (const auto& setup : setups) {
    if (absl::Status status = setup->status(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void PrintTables(const std::vector<std::unique_ptr<Setup>>& setups, CpuIsa isa, const MachineLoad& load) {
  const bool on_card = setups[0]->on_card();
  std::printf("%s, %d rounds, %s.\n\n",
              on_card ? setups[0]->Describe().c_str() : ("Instruction set " + std::string(Name(isa))).c_str(),
              absl::GetFlag(FLAGS_rounds), load.Describe().c_str());
  if (!on_card) {
    std::printf("| weights | threads | read %d MiB, GB/s | read as much as the weights, GB/s | products, GFLOP/s |\n",
                absl::GetFlag(FLAGS_limit_megabytes));
    std::printf("|---|---|---|---|---|\n");
    for (const auto& setup : setups) setup->PrintLimits();
    std::printf("\n");
  }
  std::printf(
      "| weights | threads | point | ms, median | p90 | tok/s | GB/s | GFLOP/s | "
      "%s|\n|%s---|---|---|---|---|---|---|---|---|\n",
      on_card ? "launched by the host in, ms " : "of the limit | of the limit with the weights' own read rate ",
      on_card ? "" : "---|");
  for (const auto& setup : setups) setup->PrintPoints();
}

absl::Status Run() {
  const absl::StatusOr<CpuIsa> isa = ChooseIsa("auto");
  if (!isa.ok()) return isa.status();
  if (absl::GetFlag(FLAGS_step_tokens_max) < kChunk || absl::GetFlag(FLAGS_rounds) < 1) {
    return absl::InvalidArgumentError(absl::StrCat("--step_tokens_max must be at least ", kChunk, ", --rounds 1"));
  }
  const auto setups = LoadAll(*isa);
  if (!setups.ok()) return setups.status();
  absl::StatusOr<Buffer> memory = Buffer();
  if (!(*setups)[0]->on_card()) {
    memory = AllocateHost(static_cast<size_t>(absl::GetFlag(FLAGS_limit_megabytes)) << 20, "the read limit");
    if (!memory.ok()) return memory.status();
    std::fill_n(memory->data(), memory->size(), std::byte{1});
  }
  const MachineLoad load;
  for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    for (const auto& setup : *setups) setup->Round(*memory);
  }
  if (absl::Status status = StatusOf(*setups); !status.ok()) return status;
  if (absl::GetFlag(FLAGS_json)) {
    nlohmann::json result = nlohmann::json::array();
    for (const auto& setup : *setups) result.push_back(setup->Json());
    std::printf("%s\n", result.dump().c_str());
  } else {
    PrintTables(*setups, *isa, load);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = barista::bench::Run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "engine_bench: %s\n", status.ToString().c_str());
  return 1;
}

// Whether a step costs the same however long the past is: one session read to --near tokens, one to --far, then their
// decode steps taken in turns; and how much memory the long one needed.
//
//   constant_time --model=DIR [--backend=cpu] [--near=1000] [--far=200000] [--steps=400] [--threads=0] [--weights=auto]
//                 [--json]
//
// A turn is a run of 20 steps. On a card a value is the mean of a run, the device's time a step (engine_bench.cc).
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "nlohmann/json.hpp"
#include "tests/bench/limits.h"
#include "tests/bench/machine_load.h"
#include "tests/bench/streams.h"

ABSL_FLAG(std::string, model, "", "checkpoint directory");
ABSL_FLAG(std::string, backend, "cpu", "cpu, cuda or ref");
ABSL_FLAG(std::string, weights, "auto", "auto, f32, bf16, f16, int8, int4");
ABSL_FLAG(int, threads, 0, "threads; 0: all cores");
ABSL_FLAG(int64_t, near, 1000, "position of the short session");
ABSL_FLAG(int64_t, far, 200000, "position of the long session");
ABSL_FLAG(int, steps, 400, "steps of each");
ABSL_FLAG(bool, json, false, "one JSON line instead of a table");

namespace barista::bench {
namespace {

constexpr int kWarmSteps = 20, kTurn = 20;

int Main() {
  const int64_t near = absl::GetFlag(FLAGS_near), far = absl::GetFlag(FLAGS_far);
  if (near < 1 || far < near + kWarmSteps || absl::GetFlag(FLAGS_steps) < 1) {
    std::fprintf(stderr, "constant_time: --near and --steps must be at least 1, --far at least --near + %d\n",
                 kWarmSteps);
    return 64;
  }
  BackendOptions options;
  options.kind = absl::GetFlag(FLAGS_backend);
  options.threads = absl::GetFlag(FLAGS_threads);
  absl::StatusOr<LoadedModel> loaded = LoadModel(absl::GetFlag(FLAGS_model), absl::GetFlag(FLAGS_weights), options, 2);
  if (!loaded.ok()) {
    std::fprintf(stderr, "constant_time: %s\n", loaded.status().ToString().c_str());
    return 1;
  }
  Streams short_past(*loaded, 0, 1), long_past(*loaded, 1, 1);
  short_past.Read(near);
  long_past.Read(near);
  for (int i = 0; i < kWarmSteps; ++i) long_past.Step();
  const long resident = ResidentBytes();
  const double begin = Now();
  const int64_t rest = far - long_past.position();
  long_past.Read(rest);
  const double read_seconds = Now() - begin;

  const MachineLoad load;
  Streams* const streams[] = {&short_past, &long_past};
  std::vector<double> seconds[2];
  for (int turn = 0; turn * kTurn < absl::GetFlag(FLAGS_steps); ++turn) {
    for (const int which : {turn % 2, 1 - turn % 2}) {
      streams[which]->Time(kTurn, std::numeric_limits<double>::infinity(), Now, seconds[which]);
    }
  }
  if (const absl::Status status = loaded->backend->status(); !status.ok()) {
    std::fprintf(stderr, "constant_time: %s\n", status.ToString().c_str());
    return 1;
  }
  const long grown = ResidentBytes() - resident;
  if (absl::GetFlag(FLAGS_json)) {
    const nlohmann::json result = {
        {"near_seconds", Median(seconds[0])}, {"far_seconds", Median(seconds[1])}, {"grown_bytes", grown}};
    std::printf("%s\n", result.dump().c_str());
    return 0;
  }
  std::printf("%s. %lld tokens read at %.0f tok/s; %s during the steps.\n\n", loaded->backend->Describe().c_str(),
              static_cast<long long>(rest), static_cast<double>(rest) / read_seconds, load.Describe().c_str());
  std::printf("| position | values | median ms | p10 | p90 |\n|---|---|---|---|---|\n");
  for (int which = 0; which < 2; ++which) {
    const std::vector<double>& s = seconds[which];
    std::printf("| %lld | %zu | %.4f | %.4f | %.4f |\n", static_cast<long long>(which == 0 ? near : far), s.size(),
                Median(s) * 1e3, Quantile(s, 0.1) * 1e3, Quantile(s, 0.9) * 1e3);
  }
  std::printf("\nRatio of medians: %.4f. Resident memory grew by %ld bytes between position %lld and %lld.\n",
              Median(seconds[1]) / Median(seconds[0]), grown, static_cast<long long>(near),
              static_cast<long long>(long_past.position()));
  return 0;
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return barista::bench::Main();
}

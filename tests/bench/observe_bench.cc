// What observing costs a serving engine: a sampled row of p(l|t), a line of the log, and a scrape's page, each beside a
// decode step of a real checkpoint.
//
//   observe_bench --model=DIR [--weights=bf16] [--threads=1] [--steps=300]
#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "server/observe/log.h"
#include "server/observe/metrics.h"
#include "tests/bench/limits.h"
#include "tests/bench/streams.h"

ABSL_FLAG(std::string, model, "", "checkpoint directory");
ABSL_FLAG(std::string, weights, "bf16", "auto, f32, bf16, f16, int8, int4");
ABSL_FLAG(int, threads, 1, "threads, the caller included");
ABSL_FLAG(int, steps, 300, "measured steps");

namespace barista::bench {
namespace {

// Median seconds of one call.
double Median(int count, const std::function<void()>& work) {
  std::vector<double> seconds(count);
  for (double& s : seconds) {
    const double begin = Now();
    work();
    s = Now() - begin;
  }
  std::nth_element(seconds.begin(), seconds.begin() + count / 2, seconds.end());
  return seconds[count / 2];
}

int Main() {
  BackendOptions options;
  options.kind = "cpu";
  options.threads = absl::GetFlag(FLAGS_threads);
  absl::StatusOr<LoadedModel> loaded = LoadModel(absl::GetFlag(FLAGS_model), absl::GetFlag(FLAGS_weights), options, 1);
  if (!loaded.ok()) {
    std::fprintf(stderr, "observe_bench: %s\n", loaded.status().ToString().c_str());
    return 1;
  }
  Model& model = *loaded->model;
  const int steps = absl::GetFlag(FLAGS_steps);
  const int32_t token = 1, row = 0;
  int64_t position = 0;
  loaded->pool->Init(0);
  const auto step = [&](absl::Span<const int32_t> sampled) {
    const Segment one = {.rows = 1, .position = position++};
    model.Forward({&one, 1}, {&token, 1}, *loaded->pool, sampled);
  };
  step({});
  const double plain = Median(steps, [&] { step({}); });
  const double sampled = Median(steps, [&] { step({&row, 1}); });
  const double use = Median(steps, [&] { model.SampledLatentUse(); });  // of the last step
  InitLog("info", open("/dev/null", O_WRONLY));
  const double line = Median(1000, [] {
    LogInfo("call", {{"method", "Generate"}, {"status", "ok"}, {"prompt_tokens", 100}, {"queue_seconds", 0.001}});
  });
  Metrics metrics;
  const double observe = Median(1000, [&] { metrics.step_seconds.Observe(0.01); });
  const double page = Median(100, [&] { metrics.registry()->Collect(); });
  FlushLog();

  std::printf("| what | us | share of a decode step of batch 1 |\n|---|---|---|\n");
  const auto print = [plain](const char* what, double seconds) {
    std::printf("| %s | %.2f | %.4f %% |\n", what, 1e6 * seconds, 100 * seconds / plain);
  };
  print("decode step, batch 1", plain);
  print("the same, its row kept aside", sampled);
  print("statistics of a sampled row, all layers", use);
  print("these, one row in 32 steps (the default)", use / 32);
  print("a line of the log, as the caller sees it", line);
  print("one observation of a histogram", observe);
  print("collecting a page (on a thread of its own)", page);
  return 0;
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return barista::bench::Main();
}

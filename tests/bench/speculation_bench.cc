// Speculation against plain decoding, by the engine without gRPC: the same calls with and without, in turns.
//
//   speculation_bench --model=DIR [--draft=4] [--streams=1,4] [--tokens=200] [--rounds=5] [--weights=auto]
//                     [--threads=0] [--cpu_time]
//
// Texts, from what a draft can do at best to where it can do nothing. The first four draw from 1, 2, 4 and 16 ids alike
// (a logit_bias and a high temperature force that), so most drafts are right in the first and wrong in the fourth; the
// fifth draws from the whole vocabulary, where hardly anything is drafted; the last is what the model says by itself,
// greedy.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "server/engine/engine.h"
#include "tests/bench/limits.h"
#include "tests/bench/machine_load.h"
#include "tests/bench/streams.h"

using StringList = std::vector<std::string>;
ABSL_FLAG(std::string, model, "", "checkpoint directory");
ABSL_FLAG(std::string, weights, "auto", "auto, f32, bf16, f16, int8, int4");
ABSL_FLAG(int, threads, 0, "threads, the caller included; 0: one a core");
ABSL_FLAG(int, draft, 4, "tokens drafted a step");
ABSL_FLAG(StringList, streams, StringList({"1", "4"}), "calls side by side");
ABSL_FLAG(int, tokens, 200, "tokens that every call draws");
ABSL_FLAG(int, rounds, 5, "rounds");
ABSL_FLAG(bool, cpu_time, false, "with one thread: count the time it ran, for drafts on a busy machine");

namespace barista::bench {
namespace {

struct Text {
  const char* name;
  int32_t ids;  // drawn from as many ids; 0: from all
  float temperature;
};

constexpr Text kTexts[] = {{"one id", 1, 20},  {"2 ids", 2, 20},           {"4 ids", 4, 20},
                           {"16 ids", 16, 20}, {"whole vocabulary", 0, 1}, {"greedy", 0, 0}};

struct Point {
  Text text;
  int streams;
  std::vector<double> plain, speculating;  // tokens a second of all streams
  int64_t drafted = 0, accepted = 0;
};

Request RequestOf(const Text& text, int stream, int64_t vocab) {
  Request request;
  std::mt19937 random(stream);
  for (int i = 0; i < 64; ++i) request.prompt.push_back(static_cast<int32_t>(random() % vocab));
  request.sampling.temperature = text.temperature;
  request.sampling.seed = stream;
  const int32_t step = static_cast<int32_t>(vocab) / 17;
  for (int32_t i = 1; i <= text.ids; ++i) request.sampling.logit_bias.push_back({i * step, 4000.0f});
  request.stop.max_tokens = absl::GetFlag(FLAGS_tokens);
  request.stop.ignore_eos = true;
  return request;
}

// Runs the point's calls to their end; the time counts from where all prompts are read.
void Measure(Engine& engine, Point& point, int32_t draft, int64_t vocab) {
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < point.streams; ++i) {
    Request request = RequestOf(point.text, i, vocab);
    request.speculation_tokens = draft;
    calls.push_back(*engine.Submit(std::move(request), [] {}));
  }
  engine.Step();
  const bench::Clock now = absl::GetFlag(FLAGS_threads) == 1 && absl::GetFlag(FLAGS_cpu_time) ? ThreadTime : Now;
  const double begin = now();
  while (!engine.idle()) engine.Step();
  const double seconds = now() - begin;
  for (const std::shared_ptr<Call>& call : calls) {
    bool resumed;
    while (const std::optional<Event> event = call->Pop(resumed)) {
      if (const Finished* finished = std::get_if<Finished>(&*event)) {
        point.drafted += finished->usage.drafted_tokens;
        point.accepted += finished->usage.accepted_tokens;
      }
    }
  }
  const double tokens = static_cast<double>(point.streams) * (absl::GetFlag(FLAGS_tokens) - 1);
  (draft > 0 ? point.speculating : point.plain).push_back(tokens / seconds);
}

int Main() {
  const int32_t draft = absl::GetFlag(FLAGS_draft);
  std::vector<Point> points;
  int slots = 1;
  for (const std::string& word : absl::GetFlag(FLAGS_streams)) {
    int streams = 0;
    if (!absl::SimpleAtoi(word, &streams) || streams < 1) {
      std::fprintf(stderr, "not a positive number: %s\n", word.c_str());
      return 64;
    }
    slots = std::max(slots, streams * (1 + draft));
    for (const Text& text : kTexts) points.push_back({.text = text, .streams = streams});
  }
  BackendOptions backend;
  backend.threads = absl::GetFlag(FLAGS_threads);
  absl::StatusOr<LoadedModel> loaded =
      LoadModel(absl::GetFlag(FLAGS_model), absl::GetFlag(FLAGS_weights), backend, slots);
  if (!loaded.ok()) {
    std::fprintf(stderr, "speculation_bench: %s\n", loaded.status().ToString().c_str());
    return 1;
  }
  Metrics metrics;
  SteadyClock clock;
  EngineOptions options;
  options.outbox_events_max = static_cast<size_t>(absl::GetFlag(FLAGS_tokens)) * 2;  // nobody reads meanwhile
  Engine engine(*loaded->model, *loaded->pool, nullptr, metrics, clock, options);
  const int64_t vocab = loaded->model->config().vocab_size;
  const MachineLoad load;
  for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    for (Point& point : points) {
      Measure(engine, point, 0, vocab);
      Measure(engine, point, draft, vocab);
    }
  }
  std::printf("%s; drafts of up to %d tokens, %d rounds, %s.\n\n", loaded->backend->Describe().c_str(), draft,
              absl::GetFlag(FLAGS_rounds), load.Describe().c_str());
  std::printf("| text | streams | plain, tok/s | speculation, tok/s | ratio | drafted a token | accepted |\n");
  std::printf("|---|---|---|---|---|---|---|\n");
  for (const Point& p : points) {
    std::vector<double> ratios;
    for (size_t i = 0; i < p.plain.size(); ++i) ratios.push_back(p.speculating[i] / p.plain[i]);
    const double drawn = static_cast<double>(p.plain.size()) * p.streams * absl::GetFlag(FLAGS_tokens);
    const double accepted =
        p.drafted == 0 ? 0 : 100.0 * static_cast<double>(p.accepted) / static_cast<double>(p.drafted);
    std::printf("| %s | %d | %.0f | %.0f | %.2f | %.2f | %.0f %% |\n", p.text.name, p.streams, Median(p.plain),
                Median(p.speculating), Median(ratios), static_cast<double>(p.drafted) / drawn, accepted);
  }
  return 0;
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return barista::bench::Main();
}

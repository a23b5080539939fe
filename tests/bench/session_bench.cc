// What it costs to fork, keep and bring back a session, at a small position and at a large one, in turns; and to fork
// it many times at once, against the memory's limit.
//
//   session_bench --model=DIR [--positions=1000,1000000] [--children=64] [--rounds=15] [--weights=auto] [--threads=0]
//                 [--state_dir=DIR]
//
// A snapshot to memory is the copy out of the slot and the bytes of the format with their checksums; to the directory,
// which --state_dir names (default: a temporary one), also the file and its two fsyncs. Restoring is the way back, of a
// file that was just written.
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/engine/engine.h"
#include "server/engine/session_bytes.h"
#include "server/store/directory_store.h"
#include "tests/bench/limits.h"
#include "tests/bench/machine_load.h"
#include "tests/bench/streams.h"

using StringList = std::vector<std::string>;
ABSL_FLAG(std::string, model, "", "checkpoint directory");
ABSL_FLAG(std::string, weights, "auto", "auto, f32, bf16, f16, int8, int4");
ABSL_FLAG(int, threads, 0, "threads, the caller included; 0: one a core");
ABSL_FLAG(StringList, positions, StringList({"1000", "1000000"}), "tokens in the sessions");
ABSL_FLAG(int, children, 64, "of the fork of many");
ABSL_FLAG(int, rounds, 15, "rounds");
ABSL_FLAG(std::string, state_dir, "", "where snapshots go; empty: a temporary directory");

namespace barista::bench {
namespace {

struct Times {  // milliseconds, one a round
  std::vector<double> fork, to_memory, to_directory, restore;
};

// An engine driven by hand, and what is done to its sessions between two steps.
class Bench {
 public:
  Bench(LoadedModel& loaded, StateStore& store)
      : loaded_(loaded),
        store_(store),
        format_(loaded.model->state_layout(), std::string(64, '0'), loaded.model->config().vocab_size),
        engine_(*loaded.model, *loaded.pool, nullptr, metrics_, clock_, {}) {}

  void Create(const std::string& key, int64_t position) {
    Between([&](SessionTable& sessions) { Must(sessions.Create(key).status()); });
    std::mt19937 random(1);
    const int64_t vocab = loaded_.model->config().vocab_size;
    for (int64_t left = position; left > 0;) {
      Request request = {.kind = RequestKind::kGenerate, .session = key};
      request.prompt.resize(std::min<int64_t>(left, 1 << 16));
      for (int32_t& token : request.prompt) token = static_cast<int32_t>(random() % vocab);
      left -= static_cast<int64_t>(request.prompt.size());
      request.stop.max_tokens = 1;
      request.stop.ignore_eos = true;
      const auto call = engine_.Submit(std::move(request), [] {});
      Must(call.status());
      while (!engine_.idle()) {
        engine_.Step();
        bool resumed;
        while ((*call)->Pop(resumed)) continue;
      }
    }
  }

  // Milliseconds of a fork of `key` into `count` children, which then end.
  double Fork(const std::string& key, int count) {
    std::vector<std::string> children;
    for (int i = 0; i < count; ++i) children.push_back(absl::StrCat("child-", i));
    double ms = 0;
    Between([&](SessionTable& sessions) {
      const double begin = Now();
      Must(sessions.Fork(key, children, false).status());
      ms = 1e3 * (Now() - begin);
      for (const std::string& child : children) Must(sessions.Delete(child));
    });
    return ms;
  }

  void Measure(const std::string& key, Times& times) {
    times.fork.push_back(Fork(key, 1));
    Between([&](SessionTable& sessions) {
      double begin = Now();
      const auto copy = sessions.Export(key);
      Must(copy.status());
      const std::string bytes = format_.Write(**copy, {.session = key});
      times.to_memory.push_back(1e3 * (Now() - begin));
      begin = Now();
      Must(store_.Put(key, bytes, true));
      times.to_directory.push_back(times.to_memory.back() + 1e3 * (Now() - begin));
      begin = Now();
      const absl::StatusOr<std::string> read = store_.Get(key, format_.bytes_max());
      Must(read.status());
      absl::StatusOr<LabelledSession> session = format_.Read(*read, "");
      Must(session.status());
      Must(sessions.Import("restored", std::make_shared<SessionCopy>(std::move(session->copy))).status());
      times.restore.push_back(1e3 * (Now() - begin));
      Must(sessions.Delete("restored"));
    });
  }

 private:
  static void Must(const absl::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "session_bench: %s\n", status.ToString().c_str());
    std::exit(1);
  }

  void Between(const std::function<void(SessionTable&)>& work) {
    Must(engine_.Post(work));
    engine_.Step();
  }

  LoadedModel& loaded_;
  StateStore& store_;
  SessionFormat format_;
  Metrics metrics_;
  SteadyClock clock_;
  Engine engine_;
};

// A directory that ends with this object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "session_bench.XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

int Main() {
  std::vector<int64_t> positions;
  for (const std::string& word : absl::GetFlag(FLAGS_positions)) {
    int64_t position = 0;
    if (!absl::SimpleAtoi(word, &position) || position < 1) {
      std::fprintf(stderr, "not a positive number: %s\n", word.c_str());
      return 64;
    }
    positions.push_back(position);
  }
  const int children = absl::GetFlag(FLAGS_children);
  BackendOptions backend;
  backend.threads = absl::GetFlag(FLAGS_threads);
  absl::StatusOr<LoadedModel> loaded = LoadModel(absl::GetFlag(FLAGS_model), absl::GetFlag(FLAGS_weights), backend,
                                                 static_cast<int32_t>(positions.size()) + children);
  const TemporaryDirectory temporary;
  const std::string directory =
      absl::GetFlag(FLAGS_state_dir).empty() ? temporary.path() : absl::GetFlag(FLAGS_state_dir);
  const absl::StatusOr<std::unique_ptr<DirectoryStore>> store = DirectoryStore::Open(directory);
  if (!loaded.ok() || !store.ok()) {
    std::fprintf(stderr, "session_bench: %s\n", (loaded.ok() ? store.status() : loaded.status()).ToString().c_str());
    return 1;
  }
  Bench bench(*loaded, **store);
  const auto key_of = [](int64_t position) { return absl::StrCat("at-", position); };
  for (const int64_t position : positions) bench.Create(key_of(position), position);

  const int64_t bytes = loaded->model->state_layout().slot_bytes(), all = bytes * children;
  ThreadPool pool(loaded->backend->threads());
  const int64_t uncached = int64_t{1} << 30;
  absl::StatusOr<Buffer> large = AllocateHost(uncached, "limits");
  absl::StatusOr<Buffer> from = AllocateHost(all, "copies"), to = AllocateHost(all, "copies");
  if (!large.ok() || !from.ok() || !to.ok()) return 1;
  std::memset(large->data(), 1, uncached);
  std::vector<Times> times(positions.size());
  std::vector<double> many, copy_rate, read_rate;
  const MachineLoad load;
  bench.Fork(key_of(positions[0]), children);  // the slots become resident
  for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    for (size_t k = 0; k < positions.size(); ++k) {  // who comes first finds colder caches: that too goes in turns
      const size_t i = round % 2 == 0 ? k : positions.size() - 1 - k;
      bench.Measure(key_of(positions[i]), times[i]);
    }
    many.push_back(bench.Fork(key_of(positions[0]), children));
    const double begin = Now();
    std::memcpy(to->data(), from->data(), all);
    copy_rate.push_back(static_cast<double>(all) / (Now() - begin));
    read_rate.push_back(ReadRate(pool, *large, uncached));
  }

  const double mib = static_cast<double>(bytes) / (1 << 20);
  std::printf("%s; a session has %.3f MiB, %d rounds, %s.\n\n", loaded->backend->Describe().c_str(), mib,
              absl::GetFlag(FLAGS_rounds), load.Describe().c_str());
  std::printf("| position | fork, ms | snapshot to memory, ms | to the directory, ms | restore from it, ms |\n");
  std::printf("|---|---|---|---|---|\n");
  const auto row = [](const std::string& name, const char* format, const std::vector<double>& values) {
    std::printf("| %s |", name.c_str());
    for (const double value : values) std::printf(format, value);
    std::printf("\n");
  };
  std::vector<std::vector<double>> medians;
  for (size_t i = 0; i < positions.size(); ++i) {
    const Times& t = times[i];
    medians.push_back({Median(t.fork), Median(t.to_memory), Median(t.to_directory), Median(t.restore)});
    row(absl::StrCat(positions[i]), " %.3f |", medians[i]);
  }
  if (positions.size() > 1) {
    std::vector<double> ratios;
    for (size_t k = 0; k < medians[0].size(); ++k) ratios.push_back(medians.back()[k] / medians[0][k]);
    row("last / first", " %.3f |", ratios);
  }
  const double seconds = 1e-3 * Median(many), moved = static_cast<double>(all);
  std::printf(
      "\n| children at once | ms | GB/s written | x of bytes / read rate | x of a copy as large "
      "|\n|---|---|---|---|---|\n");
  std::printf("| %d | %.2f | %.1f | %.2f (%.1f GB/s) | %.2f (%.1f GB/s) |\n", children, 1e3 * seconds,
              moved / seconds / 1e9, seconds / (moved / Median(read_rate)), Median(read_rate) / 1e9,
              seconds / (moved / Median(copy_rate)), Median(copy_rate) / 1e9);
  return 0;
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return barista::bench::Main();
}

// How far the float32 state of a long session is from the same state in double, fed with the same inputs.
//
//   state_drift --model=DIR --text=FILE [--tokens=1000000] [--form=decode,prefill] [--replay=16777216] [--threads=1]
//
// The text is tokenised by the model's tokenizer and repeated until there are enough tokens. --replay then feeds the
// last 4096 tokens' inputs of every Latte layer again and again, up to so many tokens in all: plain float32 sums count
// one by one no further than 2^24 = 16777216. README.md says how to read the table.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "server/model/checkpoint.h"
#include "server/model/model.h"
#include "server/text/tokenizer.h"
#include "tests/bench/limits.h"
#include "tests/bench/shadow_backend.h"

using StringList = std::vector<std::string>;
ABSL_FLAG(std::string, model, "", "checkpoint directory with a tokenizer");
ABSL_FLAG(std::string, text, "", "UTF-8 text to read");
ABSL_FLAG(int64_t, tokens, 1000000, "tokens to stream");
ABSL_FLAG(StringList, form, StringList({"decode", "prefill"}), "decode: token by token; prefill: in chunks");
ABSL_FLAG(int64_t, replay, 0, "tokens in all after replaying; 0: none");
ABSL_FLAG(int, threads, 1, "threads of the cpu backend");

namespace barista::bench {
namespace {

constexpr int64_t kRecorded = 4096;
const std::vector<Carry> kCarries = {Carry::kNone, Carry::kBF16, Carry::kF32};
constexpr const char* kCarryNames[] = {"plain", "carry bf16", "carry f32"};

absl::StatusOr<std::vector<int32_t>> ReadTokens(const Checkpoint& checkpoint, int64_t count) {
  if (!checkpoint.tokenizer_path()) return absl::FailedPreconditionError("the checkpoint has no tokenizer");
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(*checkpoint.tokenizer_path());
  if (!tokenizer.ok()) return tokenizer.status();
  std::ifstream file(absl::GetFlag(FLAGS_text), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  absl::StatusOr<std::vector<int32_t>> ids = (*tokenizer)->Encode(text);
  if (!ids.ok()) return ids.status();
  if (ids->empty()) return absl::InvalidArgumentError("no text in " + absl::GetFlag(FLAGS_text));
  const size_t distinct = ids->size();
  std::printf("%zu bytes of text, %zu tokens.\n\n", text.size(), distinct);
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = (*ids)[i % distinct];
  return tokens;
}

void PrintRow(const std::string& form, int64_t tokens, const std::string& sums, const StateErrors& errors) {
  std::printf("| %s | %lld | %s |", form.c_str(), static_cast<long long>(tokens), sums.c_str());
  for (const Error* error : {&errors.alpha, &errors.readout, &errors.h, &errors.y}) {
    if (error->count == 0) std::printf(" | |");
    if (error->count > 0) std::printf(" %.1e | %.1e |", error->largest, error->rms());
  }
  std::printf("\n");
  std::fflush(stdout);
}

// The next row of the table comes at ten times as many tokens, or at the end.
int64_t NextMark(int64_t tokens, int64_t end) {
  int64_t mark = 1000;
  while (mark <= tokens) mark *= 10;
  return std::min(mark, end);
}

absl::Status Run(const Checkpoint& checkpoint, const std::vector<int32_t>& tokens, const std::string& form) {
  BackendOptions options;
  options.kind = "cpu";
  options.threads = absl::GetFlag(FLAGS_threads);
  absl::StatusOr<std::unique_ptr<Backend>> cpu = MakeBackend(options);
  if (!cpu.ok()) return cpu.status();
  ShadowBackend shadow(**cpu, kCarries);
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(checkpoint, shadow, {});
  if (!model.ok()) return model.status();
  absl::StatusOr<StatePool> pool = StatePool::Create(shadow, (*model)->state_layout(), 1);
  if (!pool.ok()) return pool.status();
  pool->Init(0);

  const bool prefill = form == "prefill";
  const int64_t end = static_cast<int64_t>(tokens.size());
  for (int64_t position = 0; position < end;) {
    const int64_t mark = NextMark(position, end);
    const int64_t stop = position < end - kRecorded ? std::min(mark, end - kRecorded) : mark;
    while (position < stop) {
      const int64_t rows = prefill ? std::min((*model)->options().rows_max, stop - position) : 1;
      const Segment segment = {.rows = static_cast<int32_t>(rows), .position = position, .prefill = prefill};
      (*model)->Forward({&segment, 1}, absl::MakeConstSpan(tokens).subspan(position, rows), *pool);
      position += rows;
    }
    if (position == end - kRecorded) shadow.Record();
    if (position != mark) continue;
    PrintRow(form, position, "dithered (served)", shadow.Measure());
    for (size_t i = 0; i < kCarries.size(); ++i) {
      PrintRow(form, position, kCarryNames[i], shadow.MeasureSums(i));
    }
  }
  const int64_t replay = absl::GetFlag(FLAGS_replay);
  for (int64_t position = end, mark; position < replay; position = mark) {
    mark = std::min(replay, position * 4);
    shadow.Replay(mark - position, prefill);
    PrintRow(form, mark, "dithered, replayed", shadow.Measure());
  }
  return absl::OkStatus();
}

int Main() {
  const double begin = Now();
  absl::StatusOr<std::unique_ptr<Checkpoint>> checkpoint = Checkpoint::Open(absl::GetFlag(FLAGS_model));
  absl::Status status = checkpoint.status();
  if (status.ok()) {
    const absl::StatusOr<std::vector<int32_t>> tokens = ReadTokens(**checkpoint, absl::GetFlag(FLAGS_tokens));
    status = tokens.status();
    std::printf(
        "| form | tokens | sums | alpha, largest | rms | vtilde / alpha, largest | rms | h, largest | rms | y, largest "
        "| "
        "rms |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (const std::string& form : absl::GetFlag(FLAGS_form)) {
      if (status.ok()) status = Run(**checkpoint, *tokens, form);
    }
  }
  if (!status.ok()) std::fprintf(stderr, "state_drift: %s\n", status.ToString().c_str());
  std::printf("\n%.0f s.\n", Now() - begin);
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return barista::bench::Main();
}

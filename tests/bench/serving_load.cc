// Streams of one barista-server, timed at the client: what serving_bench.py runs. Prints one JSON line.
//
//   serving_load --server=HOST:PORT [--streams=8] [--prompt=16] [--tokens=112] [--long_prompt=0]
//
// Every stream has its own connection and thread. With --long_prompt, that prompt is sent once all streams run, and the
// streams are cancelled when its first token has come.
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "barista/v1/inference.grpc.pb.h"
#include "nlohmann/json.hpp"

ABSL_FLAG(std::string, server, "", "HOST:PORT");
ABSL_FLAG(int, streams, 8, "concurrent streams");
ABSL_FLAG(int, prompt, 16, "tokens of each stream's prompt");
ABSL_FLAG(int, tokens, 112, "tokens each stream makes");
ABSL_FLAG(int, long_prompt, 0, "tokens of a prompt that arrives while the streams run; 0: none");

namespace {

namespace v1 = barista::v1;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double CpuSeconds() {
  rusage use = {};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Arrival {
  double time;
  uint32_t generated;  // tokens of the stream so far
};

class Stream {
 public:
  Stream(int prompt_tokens, int tokens, uint32_t seed) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel =
        grpc::CreateCustomChannel(absl::GetFlag(FLAGS_server), grpc::InsecureChannelCredentials(), own);
    channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10));
    stub_ = v1::InferenceService::NewStub(channel);
    std::mt19937 random(seed);
    for (int i = 0; i < prompt_tokens; ++i) request_.mutable_tokens()->add_ids(random() % 1000);
    request_.mutable_sampling()->set_temperature(0);
    request_.mutable_stop()->set_max_tokens(tokens);
    request_.mutable_stop()->set_ignore_eos(true);
    request_.set_cache(v1::CACHE_OFF);  // rounds send the same prompts, and each is to be read
  }

  void Start() {
    thread_ = std::thread([this] {
      begin_ = Now();
      const auto reader = stub_->Generate(&context_, request_);
      for (v1::GenerateResponse message; reader->Read(&message);) {
        if (!message.has_chunk() || message.chunk().token_ids_size() == 0) continue;
        arrivals_.push_back({Now(), message.chunk().generated_tokens()});
        running_ = true;
      }
      status_ = reader->Finish();
    });
  }
  void Cancel() { context_.TryCancel(); }
  void Join() { thread_.join(); }

  bool running() const { return running_; }
  // After Join:
  const grpc::Status& status() const { return status_; }
  const std::vector<Arrival>& arrivals() const { return arrivals_; }
  double begin() const { return begin_; }
  double first() const { return arrivals_.front().time; }
  double last() const { return arrivals_.back().time; }
  uint32_t GeneratedBy(double time) const {
    uint32_t generated = 0;
    for (const Arrival& a : arrivals_) generated = a.time <= time ? a.generated : generated;
    return generated;
  }

 private:
  std::unique_ptr<v1::InferenceService::Stub> stub_;
  grpc::ClientContext context_;
  v1::GenerateRequest request_;
  std::thread thread_;
  std::atomic<bool> running_ = false;
  double begin_ = 0;
  std::vector<Arrival> arrivals_;
  grpc::Status status_;
};

// Tokens a second of all streams, and the gaps between their messages, from `begin` to `end`.
nlohmann::json Window(const std::vector<std::unique_ptr<Stream>>& streams, double begin, double end) {
  double tokens = 0;
  std::vector<double> gaps;
  for (const auto& stream : streams) {
    tokens += stream->GeneratedBy(end) - stream->GeneratedBy(begin);
    const std::vector<Arrival>& a = stream->arrivals();
    for (size_t i = 1; i < a.size(); ++i) {
      if (a[i].time > begin && a[i - 1].time < end) gaps.push_back(a[i].time - a[i - 1].time);
    }
  }
  return {{"tokens_per_second", tokens / (end - begin)},
          {"gap_p50_ms", 1e3 * Quantile(gaps, 0.5)},
          {"gap_p99_ms", 1e3 * Quantile(gaps, 0.99)},
          {"gap_longest_ms", 1e3 * Quantile(gaps, 1)}};
}

int Main() {
  const int long_prompt = absl::GetFlag(FLAGS_long_prompt);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < absl::GetFlag(FLAGS_streams); ++i) {
    const int tokens = long_prompt > 0 ? 100000 : absl::GetFlag(FLAGS_tokens);
    streams.push_back(std::make_unique<Stream>(absl::GetFlag(FLAGS_prompt), tokens, i));
  }
  Stream reader(long_prompt, 1, 1000);
  const double cpu = CpuSeconds(), wall = Now();
  for (const auto& stream : streams) stream->Start();
  nlohmann::json result = {{"streams", streams.size()}};
  if (long_prompt > 0) {
    for (const auto& stream : streams) {
      while (!stream->running()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
    reader.Start();
    reader.Join();
    for (const auto& stream : streams) stream->Cancel();
  }
  for (const auto& stream : streams) stream->Join();
  result["client_cores"] = (CpuSeconds() - cpu) / (Now() - wall);
  for (const auto& stream : streams) {
    const bool ended = stream->status().ok() || (long_prompt > 0 && stream->status().error_code() == grpc::CANCELLED);
    if (ended && !stream->arrivals().empty()) continue;
    std::fprintf(stderr, "serving_load: %s\n", stream->status().error_message().c_str());
    return 1;
  }
  std::vector<double> first_tokens;
  double begin = 0, end = streams[0]->last();
  for (const auto& stream : streams) {
    first_tokens.push_back(stream->first() - stream->begin());
    begin = std::max(begin, stream->first());
    end = std::min(end, stream->last());
  }
  if (long_prompt > 0) {
    if (!reader.status().ok() || reader.arrivals().empty()) {
      std::fprintf(stderr, "serving_load: the long prompt: %s\n", reader.status().error_message().c_str());
      return 1;
    }
    result["quiet"] = Window(streams, begin, reader.begin());
    result["beside_prompt"] = Window(streams, reader.begin(), reader.first());
    result["prompt_first_token_ms"] = 1e3 * (reader.first() - reader.begin());
  } else if (end <= begin) {
    std::fprintf(stderr, "serving_load: the first stream ended before the last began; more --tokens are needed\n");
    return 1;
  } else {
    result["all"] = Window(streams, begin, end);
  }
  result["first_token_p50_ms"] = 1e3 * Quantile(first_tokens, 0.5);
  result["first_token_longest_ms"] = 1e3 * Quantile(first_tokens, 1);
  std::printf("%s\n", result.dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return Main();
}

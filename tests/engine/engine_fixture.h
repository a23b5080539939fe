// The engine driven step by step on a tiny model, and what its calls were told.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/engine.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_model.h"

namespace barista {

class EngineTest : public testing::Test {
 protected:
  void Start(int32_t slots, EngineOptions options = {}, const std::string& backend = "cpu",
             const std::string& directory = "tests/golden/variants/macchiato-rglru") {
    engine_.reset();  // before what it holds on to
    m_ = LoadedModel::Load(directory, BackendOf(backend), {.rows_max = 128, .logits_rows_max = 8}, slots);
    options.poison_freed_slots = true;
    format_.emplace(m_.model->state_layout(), std::string(64, 'a'), m_.model->config().vocab_size);
    options.tiers.format = &*format_;
    engine_ = std::make_unique<Engine>(*m_.model, *m_.pool, tokenizer(), metrics_, clock_, options);
  }

  virtual std::unique_ptr<Backend> BackendOf(const std::string& kind) {
    return *MakeBackend({.kind = kind, .threads = 1});
  }

  virtual const Tokenizer* tokenizer() { return nullptr; }

  static Request Generate(std::vector<int32_t> prompt, int32_t max_tokens) {
    Request request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.stop.max_tokens = max_tokens;
    request.stop.ignore_eos = true;
    return request;
  }
  // Draws on a session, with a penalty.
  static Request Saying(const std::string& key, const std::vector<int32_t>& prompt, int32_t tokens) {
    Request request = Generate(prompt, tokens);
    request.session = key;
    request.opening = prompt;
    request.sampling = {.temperature = 0.9f, .seed = 8};
    request.sampling.presence_penalty = 0.4f;
    return request;
  }
  std::shared_ptr<Call> Submit(Request request) {
    auto call = engine_->Submit(std::move(request), [] {});
    EXPECT_TRUE(call.ok()) << call.status();
    return *call;
  }
  void Steps(int n) {
    for (int i = 0; i < n; ++i) engine_->Step();
  }
  void RunToIdle() {
    for (int i = 0; i < 10000 && !engine_->idle(); ++i) engine_->Step();
    EXPECT_TRUE(engine_->idle());
  }
  double used_slots() { return metrics_.sessions("device").Value(); }

  struct Seen {
    std::vector<std::vector<int32_t>> tokens;  // of each choice
    std::vector<FinishReason> finish;
    std::vector<SampleResult> logprobs, prompt_logprobs;
    int progress = 0;
    std::optional<Finished> finished;
  };
  static Seen Drain(Call& call) {
    Seen seen;
    bool resumed;
    while (std::optional<Event> event = call.Pop(resumed)) {
      EXPECT_FALSE(seen.finished) << "an event after Finished";
      if (auto* token = std::get_if<Token>(&*event)) {
        seen.tokens.resize(std::max<size_t>(seen.tokens.size(), token->choice + 1));
        seen.finish.resize(seen.tokens.size());
        seen.tokens[token->choice].push_back(token->id);
        seen.finish[token->choice] = token->finish;
        seen.logprobs.push_back(token->logprobs);
      } else if (auto* logprobs = std::get_if<PromptLogprobs>(&*event)) {
        EXPECT_EQ(logprobs->begin, static_cast<int64_t>(seen.prompt_logprobs.size()) + 1);
        for (SampleResult& r : logprobs->tokens) seen.prompt_logprobs.push_back(std::move(r));
      } else if (std::get_if<PrefillProgress>(&*event)) {
        ++seen.progress;
      } else {
        seen.finished = std::get<Finished>(*event);
      }
    }
    return seen;
  }

  Metrics metrics_;
  FakeClock clock_;
  LoadedModel m_;
  std::optional<SessionFormat> format_;
  std::unique_ptr<Engine> engine_;
};

inline std::vector<int32_t> Prompt(int32_t count, int32_t seed = 1) {
  std::mt19937 rng(seed);
  std::vector<int32_t> prompt(count);
  for (int32_t& id : prompt) id = 3 + static_cast<int32_t>(rng() % 300);
  return prompt;
}

}  // namespace barista

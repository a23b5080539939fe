// Several engines as one server has them, driven step by step, each with a model and slots of its own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/engine/engines.h"
#include "tests/engine/engine_fixture.h"

namespace barista {

class EnginesTest : public EngineTest {
 protected:
  virtual std::unique_ptr<Backend> BackendAt(int /*device*/) { return BackendOf("cpu"); }

  // `slots`: of each engine.
  void StartSeveral(const std::vector<int32_t>& slots, EngineOptions options = {}) {
    owned_.clear();
    loaded_.clear();
    group_ = std::make_unique<EngineGroup>(static_cast<int>(slots.size()), options.checkpoint_bytes,
                                           options.prefix_tokens_min);
    for (size_t i = 0; i < slots.size(); ++i) {
      loaded_.push_back(LoadedModel::Load("tests/golden/variants/macchiato-rglru", BackendAt(static_cast<int>(i)),
                                          {.rows_max = 128, .logits_rows_max = 8}, slots[i]));
    }
    format_.emplace(loaded_[0].model->state_layout(), std::string(64, 'a'), loaded_[0].model->config().vocab_size);
    options.poison_freed_slots = true;
    options.tiers.format = &*format_;
    options.group = group_.get();
    for (size_t i = 0; i < slots.size(); ++i) {
      options.number = static_cast<int>(i);
      owned_.push_back(
          std::make_unique<Engine>(*loaded_[i].model, *loaded_[i].pool, nullptr, metrics_, clock_, options));
    }
    engines_ = std::make_unique<Engines>(*group_);
  }
  void TearDown() override {
    if (engines_ != nullptr) engines_->Stop();
  }

  void StepAll(int rounds = 1) {
    for (int i = 0; i < rounds; ++i) {
      for (size_t e = 0; e < owned_.size(); ++e) Step(e);
    }
  }
  void Step(size_t engine) {
    loaded_[engine].backend->BindThread();
    owned_[engine]->Step();
  }
  void RunAllToIdle() {
    for (int i = 0; i < 10000 && !engines_->idle(); ++i) StepAll();
    ASSERT_TRUE(engines_->idle());
    StepAll();
  }

  absl::Status Create(const std::string& key) {
    absl::Status status = absl::UnknownError("not answered");
    EXPECT_TRUE(Ask(key, status).ok());
    StepAll(2);
    return status;
  }
  // Creates it with the next steps.
  absl::Status Ask(const std::string& key, absl::Status& status) {
    return engines_->PostNew(key, [key, &status](SessionTable& sessions, const auto& epochs) {
      status = epochs.ok() ? sessions.Create(key, epochs->front()).status() : epochs.status();
      return status;
    });
  }
  std::shared_ptr<Call> Send(Request request) {
    auto call = engines_->Submit(std::move(request), [] {});
    EXPECT_TRUE(call.ok()) << call.status();
    return *call;
  }
  Seen Say(const std::string& key, const std::vector<int32_t>& prompt, int32_t tokens) {
    auto call = Send(Saying(key, prompt, tokens));
    RunAllToIdle();
    return Drain(*call);
  }
  // Everything that the session is, but its past.
  std::string Bytes(const std::string& key) {
    std::string bytes;
    EXPECT_TRUE(engines_
                    ->PostFor(key,
                              [&](SessionTable& s, const absl::Status& brought) {
                                ASSERT_TRUE(brought.ok()) << brought;
                                bytes = format_->Write(**s.Export(key), {});
                              })
                    .ok());
    StepAll(4);
    return bytes;
  }
  int Home(const std::string& key) { return group_->homes.Find(key); }

  std::unique_ptr<EngineGroup> group_;
  std::vector<LoadedModel> loaded_;
  std::vector<std::unique_ptr<Engine>> owned_;
  std::unique_ptr<Engines> engines_;
};

}  // namespace barista

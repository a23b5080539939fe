// What every service needs to answer: the model's facts, limits, defaults, the engine. Built once in main, then const.
#pragma once

#include <string>

#include "server/engine/engine.h"
#include "server/limits.h"
#include "server/model/model.h"
#include "server/rpc/replay_cache.h"
#include "server/text/tokenizer.h"

namespace barista {

struct Serving {
  Engine& engine;
  Metrics& metrics;
  ReplayCache& replays;
  const Model& model;
  const Tokenizer* tokenizer = nullptr;  // null: token ids only
  Limits limits;
  SamplingParams sampling_defaults;
  int32_t slots = 0;
  std::string model_name;      // "models/NAME"
  std::string fingerprint;     // hex
  std::string backend_kind;    // "cpu"
  std::string backend_device;  // one line for people
  int threads = 0;
  std::string server_version;
};

}  // namespace barista

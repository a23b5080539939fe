// What every service needs to answer: the model's facts, limits, defaults, the engines. Built once in main, then const.
#pragma once

#include <string>

#include "server/access/access.h"
#include "server/engine/durable.h"
#include "server/engine/engines.h"
#include "server/engine/session_bytes.h"
#include "server/engine/worker.h"
#include "server/limits.h"
#include "server/model/model.h"
#include "server/rpc/replay_cache.h"
#include "server/store/sealer.h"
#include "server/store/state_store.h"
#include "server/text/tokenizer.h"

namespace barista {

struct Serving {
  Engines& engines;
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
  int devices = 1;
  int threads = 0;  // of all
  std::string server_version;
  const Access* access = nullptr;  // null: no key is asked for
  std::string tenant_header;       // metadata key of the caller's tenant; empty: all callers are one tenant
  const SessionFormat& format;
  StateStore* snapshots = nullptr;  // null: the server keeps none; used by `background` alone
  KeptSnapshots& kept_snapshots;    // what is known of them; used by `background` alone
  const Sealer* sealer = nullptr;   // null: no key
  Worker& delivery;                 // writes to callers what a step has left for them; never blocks
  Worker& background;               // for what blocks or takes long, and is no step's business
  int64_t sessions_total_max = 0;
  int64_t checkpoint_bytes = 0;
};

}  // namespace barista

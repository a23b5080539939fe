// The devices of one server: on each the whole model, and the slots of the sessions that its engine serves.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "server/config.h"
#include "server/engine/worker.h"
#include "server/memory_plan.h"
#include "server/model/checkpoint.h"
#include "server/model/model.h"

namespace barista {

struct Device {
  std::unique_ptr<Backend> backend;
  MemoryRoom room;  // as it was before anything was loaded; of the host's, its share
  MemoryPlan plan;  // of that room: before loading with the weights alone
  // Once loaded.
  std::unique_ptr<Model> model;
  std::optional<StatePool> pool;
  std::unique_ptr<ThreadWorker> copies;  // of states, to and from the host
};

// How the model is laid out, the same on all devices.
struct DevicePlan {
  ModelOptions options;
  StateLayout layout;
  int64_t weight_bytes = 0;  // of one device
  int64_t replay_bytes = 0;  // of replays in float64, while one runs; the server's
};

// The backends of `config.devices` devices, or of all. Errors: as MakeBackend's; FailedPrecondition naming
// `devices` or `sessions_max`.
absl::StatusOr<std::vector<Device>> OpenDevices(const ServerConfig& config);

DevicePlan PlanDevices(const ServerConfig& config, const Checkpoint& checkpoint, const Backend& backend);

// Whether weights and a session fit on each, before anything is loaded. Error: ResourceExhausted.
absl::Status CheckMemory(const ServerConfig& config, const DevicePlan& plan, std::vector<Device>& devices);

// All at once. Errors: those of Model::Load and StatePool::Create, ResourceExhausted.
absl::Status LoadDevices(const ServerConfig& config, const Checkpoint& checkpoint, const DevicePlan& plan,
                         std::vector<Device>& devices);

// One line for people: each kind once, with its number where there are several.
std::string Describe(const std::vector<Device>& devices);

}  // namespace barista

#include "server/devices.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/cpu/cores.h"
#include "server/model/state_drift.h"
#include "server/model/tensor_names.h"

namespace barista {
namespace {

ModelOptions OptionsFor(const ServerConfig& config, const ModelConfig& model, const Backend& backend) {
  ModelOptions options;
  options.logits_rows_max = ModelOptions::LogitsRowsFor(backend);
  options.weights = WeightFormatNamed(config.weights_dtype).value_or(WeightFormat());
  const int64_t step_tokens = config.step_tokens_max > 0 ? config.step_tokens_max : ModelOptions::RowsFor(backend);
  options.rows_max = model.task == Task::kClassification ? config.limits.classify_tokens_max : step_tokens;
  options.max_positions = config.max_positions > 0            ? config.max_positions
                          : model.max_position_embeddings > 0 ? model.max_position_embeddings
                                                              : options.max_positions;
  return options;
}

// Of replays in float64, while one runs.
int64_t ReplayBytes(const ServerConfig& config, const Checkpoint& checkpoint, const ModelOptions& options) {
  const bool on = config.drift_sample_seconds > 0 && checkpoint.config().task == Task::kCausalLm;
  return on ? StateReplay::Bytes(checkpoint, options) : 0;
}

// One device's part: of slots that were asked for, and of what lies in the host's memory.
MemoryWish WishOf(const ServerConfig& config, const DevicePlan& plan, int64_t fixed_bytes, bool on_host, int64_t number,
                  int64_t devices) {
  return {.memory_bytes = on_host ? config.memory_bytes / devices : config.memory_bytes,
          .fixed_bytes = fixed_bytes,
          .replay_bytes = plan.replay_bytes / devices,
          .host_state_bytes = config.host_state_bytes / devices,
          .checkpoint_bytes = config.checkpoint_bytes < 0 ? -1 : config.checkpoint_bytes / devices,
          .sessions_max = config.sessions_max / devices + (number < config.sessions_max % devices ? 1 : 0)};
}

absl::Status Plan(const ServerConfig& config, const DevicePlan& plan, int64_t fixed_bytes, int64_t number,
                  int64_t devices, Device& device) {
  const bool on_host = !device.room.device.has_value();
  const absl::StatusOr<MemoryPlan> memory = PlanMemory(
      device.room, WishOf(config, plan, fixed_bytes, on_host, number, devices),
      {.slot = plan.layout.slot_bytes(), .host = plan.layout.bytes_per_session() - plan.layout.slot_bytes()});
  if (memory.ok()) device.plan = *memory;
  if (memory.ok() || devices == 1) return memory.status();
  return absl::Status(memory.status().code(), absl::StrCat("device ", number, ": ", memory.status().message()));
}

absl::Status Load(const ServerConfig& config, const Checkpoint& checkpoint, const DevicePlan& plan, int64_t number,
                  int64_t devices, Device& device) {
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(checkpoint, *device.backend, plan.options);
  if (!model.ok()) return model.status();
  device.model = *std::move(model);
  const int64_t fixed_bytes = device.model->weights().bytes + device.model->workspace_bytes();
  if (absl::Status fits = Plan(config, plan, fixed_bytes, number, devices, device); !fits.ok()) return fits;
  absl::StatusOr<StatePool> pool = StatePool::Create(*device.backend, device.model->state_layout(), device.plan.slots);
  if (!pool.ok()) return pool.status();
  device.pool.emplace(*std::move(pool));
  device.copies = std::make_unique<ThreadWorker>();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Device>> OpenDevices(const ServerConfig& config) {
  BackendOptions options = {.kind = config.backend,
                            .threads = static_cast<int>(config.threads),
                            .cpu_isa = config.cpu_isa,
                            .cuda_isa = config.cuda_isa};
  int count = config.devices > 0 ? static_cast<int>(config.devices) : DeviceCount(options);
  if (config.sessions_max > 0 && config.sessions_max < count) {  // each needs a slot
    if (config.devices > 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("sessions_max: ", config.sessions_max, " slots are fewer than the ", count, " devices"));
    }
    count = static_cast<int>(config.sessions_max);
  }
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) {
    options.device = i;
    if (config.threads == 0 && count > 1) options.threads = std::max(UsableCores() / count, 1);
    absl::StatusOr<std::unique_ptr<Backend>> backend = MakeBackend(options);
    if (absl::IsInvalidArgument(backend.status()) && i > 0) {
      return absl::FailedPreconditionError(absl::StrCat("devices: ", count, ": ", backend.status().message()));
    }
    if (!backend.ok()) return backend.status();
    devices.push_back({.backend = *std::move(backend)});
  }
  for (Device& device : devices) {
    device.room = {.host = AvailableMemoryBytes() / count, .device = device.backend->FreeDeviceBytes()};
  }
  return devices;
}

DevicePlan PlanDevices(const ServerConfig& config, const Checkpoint& checkpoint, const Backend& backend) {
  const ModelOptions options = OptionsFor(config, checkpoint.config(), backend);
  const DType stored = options.weights.dtype.value_or(checkpoint.find("model.embed_tokens.weight")->dtype);
  return {.options = options,
          .layout = StateLayout(checkpoint.config(), {.state_dtype = backend.activation_dtype(),
                                                      .ring_dtype = backend.ring_dtype(stored),
                                                      .max_positions = options.max_positions}),
          .weight_bytes = WeightBytes(checkpoint, options.weights),
          .replay_bytes = ReplayBytes(config, checkpoint, options)};
}

absl::Status CheckMemory(const ServerConfig& config, const DevicePlan& plan, std::vector<Device>& devices) {
  const int64_t count = static_cast<int64_t>(devices.size());
  for (int64_t i = 0; i < count; ++i) {
    if (absl::Status fits = Plan(config, plan, plan.weight_bytes, i, count, devices[i]); !fits.ok()) return fits;
  }
  return absl::OkStatus();
}

absl::Status LoadDevices(const ServerConfig& config, const Checkpoint& checkpoint, const DevicePlan& plan,
                         std::vector<Device>& devices) {
  std::vector<absl::Status> loaded(devices.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < devices.size(); ++i) {
    threads.emplace_back([&, i] {
      loaded[i] =
          Load(config, checkpoint, plan, static_cast<int64_t>(i), static_cast<int64_t>(devices.size()), devices[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : loaded) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string Describe(const std::vector<Device>& devices) {
  std::vector<std::pair<std::string, int>> kinds;
  for (const Device& device : devices) {
    const std::string name = device.backend->Describe();
    const auto known = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.first == name; });
    known == kinds.end() ? static_cast<void>(kinds.emplace_back(name, 1)) : static_cast<void>(++known->second);
  }
  return absl::StrJoin(kinds, "; ", [](std::string* out, const auto& kind) {
    absl::StrAppend(out, kind.second > 1 ? absl::StrCat(kind.second, " x ") : "", kind.first);
  });
}

}  // namespace barista

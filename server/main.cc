// barista-server: flags -> config -> checkpoint -> backend -> model -> engine -> listeners -> drain.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/cpu/cores.h"
#include "server/config.h"
#include "server/describe.h"
#include "server/devices.h"
#include "server/edge_files.h"
#include "server/model/model.h"
#include "server/model/state_drift.h"
#include "server/model/tensor_names.h"
#include "server/observe/health_listener.h"
#include "server/observe/log.h"
#include "server/observe/watchdog.h"
#include "server/rpc/peer.h"
#include "server/rpc/server.h"
#include "server/stores.h"

namespace barista {
namespace {

// sysexits.h: what supervisors understand.
constexpr int kOk = 0;
constexpr int kUsage = 64;        // EX_USAGE: flags
constexpr int kUnavailable = 69;  // EX_UNAVAILABLE: a port is taken
constexpr int kSoftware = 70;     // EX_SOFTWARE: the device failed while serving, or hung
constexpr int kConfig = 78;       // EX_CONFIG: config file, checkpoint, backend, memory

constexpr char kVersion[] = "0.1.0";

int Fail(int code, const absl::Status& status) {
  std::fprintf(stderr, "barista-server: %s\n", std::string(status.message()).c_str());
  return code;
}

SamplingParams DefaultsOf(const GenerationDefaults& d) {
  SamplingParams p;
  if (d.temperature) p.temperature = static_cast<float>(*d.temperature);
  if (d.do_sample && !*d.do_sample) p.temperature = 0;
  if (d.top_k) p.top_k = static_cast<int32_t>(*d.top_k);
  if (d.top_p) p.top_p = static_cast<float>(*d.top_p);
  if (d.min_p) p.min_p = static_cast<float>(*d.min_p);
  if (d.typical_p) p.typical_p = static_cast<float>(*d.typical_p);
  if (d.repetition_penalty) p.repetition_penalty = static_cast<float>(*d.repetition_penalty);
  return p;
}

std::string NameOf(const std::string& directory) {
  const std::filesystem::path path = std::filesystem::path(directory + "/").lexically_normal();  // ends with one slash
  return absl::StrCat("models/", path.parent_path().filename().string());
}

PeerOptions PeerOf(const ServerConfig& config) {
  return {.address = config.drain_peer,
          .tenant_header = config.tenant_header,
          .ca_file = config.peer_ca_file,
          .cert_file = config.peer_cert_file,
          .key_file = config.peer_key_file,
          .api_key_file = config.peer_api_key_file};
}

// Every session goes to the store, if there is one; says what that means before and after.
void ParkSessions(Engines& engines, int64_t bytes_per_session, const Clock& clock, const TierOptions& tiers) {
  constexpr double kBytesPerSecond = 200e6;  // of a slow disk, or Redis
  const int64_t sessions = engines.sessions();
  const char* store = tiers.registry != nullptr    ? "redis"
                      : tiers.hand_over != nullptr ? "peer"
                      : tiers.directory != nullptr ? "directory"
                                                   : nullptr;
  const double seconds = static_cast<double>(sessions * bytes_per_session) / kBytesPerSecond;
  if (sessions > 0) {
    LogInfo("parking", {{"sessions", sessions},
                        {"bytes", sessions * bytes_per_session},
                        {"seconds_expected", seconds},
                        {"store", store != nullptr ? store : "none"}});
  }
  const TimePoint begin = clock.Now();
  const auto patience = std::chrono::duration_cast<TimePoint::duration>(Seconds(10 + 10 * seconds));
  const int64_t lost = store != nullptr ? engines.ParkSessions(begin + patience, clock) : sessions;
  if (sessions == 0 && lost == 0) return;
  LogInfo("parked", {{"sessions", sessions - lost}, {"lost", lost}, {"seconds", SecondsBetween(begin, clock.Now())}});
}

// How long a step may take; 0: any time. A step on a CPU takes as long as the model and the machine make it.
double StepMaxSeconds(const ServerConfig& config, const Backend& backend) {
  constexpr double kOnACard = 10;
  if (config.step_timeout_seconds >= 0) return config.step_timeout_seconds;
  return backend.name() == "cuda" ? kOnACard : 0;
}

// An engine's thread hangs in a step: what it does where a device fails is done without it. The other engines' sessions
// are parked.
[[noreturn]] void LeaveHung(double seconds, int device, Engine& hung, RpcServer& server, Health& health,
                            const std::function<void()>& end_others) {
  constexpr absl::Duration kForMessages = absl::Seconds(1), kAtMost = absl::Seconds(3),
                           kForSessions = absl::Seconds(60);
  std::atomic<bool> others_ended = false;
  std::thread([&others_ended] {  // whatever hangs below
    const absl::Time begin = absl::Now();
    while (!others_ended && absl::Now() < begin + kForSessions) absl::SleepFor(absl::Milliseconds(50));
    absl::SleepFor(kAtMost);
    std::_Exit(kSoftware);
  })
      .detach();
  const std::string why = absl::StrCat("a step has not ended in ", seconds, " s: the device hangs");
  LogError("step_hangs", {{"device", device}, {"error", why}});
  health.Enter(Health::Phase::kDraining);
  server.SetNotServing();
  hung.Abandon(why);
  end_others();
  others_ended = true;
  absl::SleepFor(kForMessages);  // on their way; the listener cannot be waited for, since calls wait for the engine
  FlushLog();
  std::_Exit(kSoftware);
}

// Serves until SIGTERM or SIGINT, then drains.
int Serve(const ServerConfig& config, const Checkpoint& checkpoint, const DevicePlan& plan, std::vector<Device> devices,
          EdgeFiles& edge, Health& health) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer;
  if (checkpoint.tokenizer_path()) {
    tokenizer = Tokenizer::Load(*checkpoint.tokenizer_path());
    if (!tokenizer.ok()) return Fail(kConfig, tokenizer.status());
  } else {
    tokenizer = nullptr;
  }
  if (const absl::Status loaded = LoadDevices(config, checkpoint, plan, devices); !loaded.ok()) {
    return Fail(kConfig, loaded);
  }
  const Backend& backend = *devices.front().backend;
  const Model& model = *devices.front().model;
  const StateLayout& layout = model.state_layout();
  const int64_t count = static_cast<int64_t>(devices.size());
  int64_t checkpoint_bytes = 0, slots = 0;
  for (const Device& device : devices) {
    checkpoint_bytes += device.plan.checkpoint_bytes;
    slots += device.plan.slots;
  }

  absl::StatusOr<Stores> stores = OpenStores(config);
  if (!stores.ok()) return Fail(kConfig, stores.status());
  const std::string fingerprint = ServedFingerprint(checkpoint, plan.options.weights);
  const SessionFormat format(layout, fingerprint, model.config().vocab_size);
  const std::vector<Engine::StoredSession> stored = FindStoredSessions(*stores, format);

  const std::string weights_type(model.weights().type_name());
  Metrics metrics;
  const SteadyClock clock;
  metrics.build_info
      .Add({{"version", kVersion},
            {"backend", std::string(backend.name())},
            {"model", NameOf(config.model)},
            {"weights", weights_type}})
      .Set(1);
  KeptSnapshots kept_snapshots;
  ThreadWorker directory_worker, registry_worker, background;
  // A message costs tens of microseconds. Where no core is left beside those that compute, another thread would take
  // them from the middle of a step instead of from between two.
  const bool core_left = backend.threads() * count < UsableCores();
  const std::unique_ptr<Worker> delivery =
      core_left ? std::unique_ptr<Worker>(std::make_unique<ThreadWorker>()) : std::make_unique<InlineWorker>();
  constexpr double kReplayCpuShare = 0.03;
  StateReplay replay(checkpoint, plan.options, layout, kReplayCpuShare);
  ThreadWorker replay_worker(ThreadWorker::Priority::kIdle);
  const bool positions_end = model.config().any_layer([](LayerType t) { return t == LayerType::kFullAttention; });
  const int64_t positions_max = positions_end ? plan.options.max_positions : 0;
  const std::unique_ptr<Peer> peer = config.drain_peer.empty() ? nullptr : std::make_unique<Peer>(PeerOf(config));
  // Each engine has its share of every tier, so that each knows for itself what fits.
  TierOptions tiers = {
      .host_sessions = config.host_state_bytes / count / layout.bytes_per_session(),
      .directory_sessions = stores->sessions != nullptr ? config.directory_state_bytes / count / format.bytes_max() : 0,
      .registry_sessions = stores->registry != nullptr ? config.redis_state_bytes / count / format.bytes_max() : 0,
      .directory = stores->sessions.get(),
      .registry = stores->registry.get(),
      .format = &format,
      .directory_worker = &directory_worker,
      .registry_worker = &registry_worker};
  if (peer != nullptr) {
    tiers.hand_over = [&peer](const std::string& key, absl::string_view bytes) { return peer->Import(key, bytes); };
  }
  std::atomic<bool> device_failed = false;
  EngineGroup group(static_cast<int>(count), checkpoint_bytes, config.prefix_tokens_min);
  std::vector<std::unique_ptr<Engine>> owned;
  for (int i = 0; i < count; ++i) {
    tiers.device_worker = devices[i].copies.get();
    owned.push_back(std::make_unique<Engine>(
        *devices[i].model, *devices[i].pool, tokenizer->get(), metrics, clock,
        EngineOptions{.queue_requests_max = static_cast<size_t>(config.limits.queue_requests_max),
                      .outbox_events_max = static_cast<size_t>(config.outbox_events_max),
                      .step_target_seconds = config.step_target_ms / 1000,
                      .poison_freed_slots = config.poison_freed_slots,
                      .positions_max = positions_max,
                      .rewind_tokens_max = config.limits.rewind_tokens_max,
                      .step_clock = &health.AddEngine(),
                      .latent_sample_steps = config.latent_sample_steps,
                      .drift = {.replay = plan.replay_bytes > 0 ? &replay : nullptr,
                                .worker = &replay_worker,
                                .sample_seconds = config.drift_sample_seconds * static_cast<double>(count)},
                      .tiers = tiers,
                      .on_device_failure =
                          [&device_failed, i](const absl::Status& status) {
                            LogError("device_failed", {{"device", i}, {"error", std::string(status.message())}});
                            device_failed = true;
                            kill(getpid(), SIGTERM);  // wakes the wait for signals
                          },
                      .group = &group,
                      .number = i}));
  }
  Engines engines(group);
  engines.Adopt(stored);
  if (edge.access != nullptr) engines.SetTenants(edge.access->policy()->tenants);
  ReplayCache replays;
  Serving serving = {.engines = engines,
                     .metrics = metrics,
                     .replays = replays,
                     .model = model,
                     .tokenizer = tokenizer->get(),
                     .limits = config.limits,
                     .sampling_defaults = DefaultsOf(checkpoint.generation_defaults()),
                     .slots = static_cast<int32_t>(slots),
                     .model_name = NameOf(config.model),
                     .fingerprint = fingerprint,
                     .backend_kind = std::string(backend.name()),
                     .backend_device = Describe(devices),
                     .devices = static_cast<int>(count),
                     .threads = static_cast<int>(backend.threads() * count),
                     .server_version = kVersion,
                     .access = edge.access.get(),
                     .tenant_header = config.tenant_header,
                     .format = format,
                     .snapshots = stores->snapshots.get(),
                     .kept_snapshots = kept_snapshots,
                     .sealer = stores->sealer ? &*stores->sealer : nullptr,
                     .delivery = *delivery,
                     .background = background,
                     .sessions_total_max = engines.sessions_max(),
                     .checkpoint_bytes = checkpoint_bytes};
  serving.limits.positions_max = positions_max;
  if (checkpoint_bytes == 0) serving.limits.rewind_tokens_max = 0;
  if (stores->sealer) {
    serving.limits.sealed_state_bytes_max = format.bytes_max() + static_cast<int64_t>(Sealer::kOverheadBytes);
  }
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start(serving, edge.tls.get(), config.listen, config.metrics_listen);
  if (!server.ok()) return Fail(kUnavailable, server.status());
  engines.Start();
  const FileWatch watch(WatchedEdgeFiles(config, edge, engines), metrics);
  const auto end_calls_and_park = [&] {  // of engines that have not failed
    engines.Drain();
    engines.CutOff();
    ParkSessions(engines, layout.bytes_per_session(), clock, tiers);
  };
  std::unique_ptr<Watchdog> watchdog;
  if (const double seconds = StepMaxSeconds(config, backend); seconds > 0) {
    watchdog = std::make_unique<Watchdog>(health, Seconds(seconds), [&, seconds](int number) {
      LeaveHung(seconds, number, *group.engines[number], **server, health, end_calls_and_park);
    });
  }
  health.Enter(Health::Phase::kServing);

  LogInfo("ready", {{"grpc", (*server)->address()},
                    {"metrics", (*server)->metrics_address()},
                    {"model", serving.model_name},
                    {"backend", serving.backend_device},
                    {"weights", weights_type},
                    {"devices", count},
                    {"sessions_max", slots},
                    {"sessions_total_max", engines.sessions_max()},
                    {"sessions_stored", stored.size()},
                    {"bytes_per_session", layout.bytes_per_session()}});
  std::printf("ready grpc=%s metrics=%s model=%s backend=%s weights=%s sessions_max=%ld bytes_per_session=%ld\n",
              (*server)->address().c_str(), (*server)->metrics_address().c_str(), serving.model_name.c_str(),
              serving.backend_kind.c_str(), weights_type.c_str(), static_cast<long>(slots),
              static_cast<long>(layout.bytes_per_session()));
  std::fflush(stdout);

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  sigwait(&signals, &signal);
  if (device_failed) {  // nothing in its memory can be told from garbage: sessions are parked from the others alone
    (*server)->SetNotServing();
    end_calls_and_park();
    (*server)->Shutdown(Seconds(1));
    FlushLog();
    std::_Exit(kSoftware);
  }
  LogInfo("draining", {{"signal", signal}, {"seconds_max", config.drain_delay_seconds + config.drain_seconds}});
  if (config.drain_delay_seconds > 0) {
    (*server)->SetNotServing();
    const timespec delay = {.tv_sec = static_cast<time_t>(config.drain_delay_seconds),
                            .tv_nsec = static_cast<long>(std::fmod(config.drain_delay_seconds, 1) * 1e9)};
    sigtimedwait(&signals, nullptr, &delay);  // a second signal ends the wait
  }
  engines.Drain();  // first, so that whoever sees the change of health finds new calls refused
  (*server)->SetNotServing();
  health.Enter(Health::Phase::kDraining);
  // Only calls to the engine are waited for: a health watch or an idle reflection stream never ends by itself.
  const TimePoint drain_end =
      clock.Now() + std::chrono::duration_cast<TimePoint::duration>(Seconds(config.drain_seconds));
  while (!engines.idle() && clock.Now() < drain_end) absl::SleepFor(absl::Milliseconds(5));
  end_calls_and_park();
  engines.Stop();
  (*server)->Shutdown(Seconds(1));  // for the last messages on their way
  LogInfo("stopped");
  return kOk;
}

int Main(const std::vector<std::string>& args) {
  for (const std::string& arg : args) {
    if (arg == "--help" || arg == "-h") return std::fputs(ConfigHelp().c_str(), stdout), kOk;
    if (arg == "--version") return std::printf("barista-server %s\n", kVersion), kOk;
  }
  const absl::StatusOr<ServerConfig> config = ParseServerConfig(args);
  if (!config.ok()) return Fail(absl::IsInvalidArgument(config.status()) ? kUsage : kConfig, config.status());
  InitLog(config->log_level);
  absl::StatusOr<EdgeFiles> edge = OpenEdgeFiles(*config);
  if (!edge.ok()) return Fail(kConfig, edge.status());
  if (const absl::Status peer = Peer(PeerOf(*config)).CheckFiles(); !peer.ok()) return Fail(kConfig, peer);
  Health health;
  std::unique_ptr<HealthListener> probes;
  if (!config->health_listen.empty() && !config->describe && !config->check_config) {
    // First: loading a model takes its time.
    absl::StatusOr<std::unique_ptr<HealthListener>> listening = HealthListener::Start(config->health_listen, health);
    if (!listening.ok()) return Fail(kUnavailable, listening.status());
    probes = *std::move(listening);
    LogInfo("probes", {{"health", probes->address()}});
  }
  const absl::StatusOr<std::unique_ptr<Checkpoint>> checkpoint = Checkpoint::Open(config->model);
  if (!checkpoint.ok()) return Fail(kConfig, checkpoint.status());
  absl::StatusOr<std::vector<Device>> devices = OpenDevices(*config);
  if (!devices.ok()) return Fail(kConfig, devices.status());
  const DevicePlan plan = PlanDevices(*config, **checkpoint, *devices->front().backend);
  if (const absl::Status fits = CheckMemory(*config, plan, *devices); !fits.ok()) return Fail(kConfig, fits);
  if (config->describe) {
    const MemoryPlan& memory = devices->front().plan;
    std::fputs(Describe(**checkpoint, plan.layout, NameOf(plan.options.weights, **checkpoint), plan.weight_bytes,
                        plan.replay_bytes, memory.slots, memory.memory_bytes, static_cast<int>(devices->size()))
                   .c_str(),
               stdout);
    return kOk;
  }
  if (config->check_config) return std::printf("ok\n"), kOk;
  return Serve(*config, **checkpoint, plan, *std::move(devices), *edge, health);
}

}  // namespace
}  // namespace barista

int main(int argc, char** argv) {
  // Before any thread exists, so that all of them inherit it and only sigwait sees the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const int code = barista::Main(std::vector<std::string>(argv + 1, argv + argc));
  barista::FlushLog();
  return code;
}

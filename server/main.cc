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
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/cpu/cores.h"
#include "server/config.h"
#include "server/describe.h"
#include "server/edge_files.h"
#include "server/memory_plan.h"
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

ModelOptions OptionsFor(const ServerConfig& config, const ModelConfig& model, const Backend& backend) {
  ModelOptions options;
  options.logits_rows_max = ModelOptions::LogitsRowsFor(backend);
  options.weights = WeightFormatNamed(config.weights_dtype).value_or(WeightFormat());
  options.rows_max = model.task == Task::kClassification ? config.limits.classify_tokens_max : config.step_tokens_max;
  options.max_positions = config.max_positions > 0            ? config.max_positions
                          : model.max_position_embeddings > 0 ? model.max_position_embeddings
                                                              : options.max_positions;
  return options;
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

// Of replays in float64, while one runs.
int64_t ReplayBytes(const ServerConfig& config, const Checkpoint& checkpoint, const ModelOptions& options) {
  const bool on = config.drift_sample_seconds > 0 && checkpoint.config().task == Task::kCausalLm;
  return on ? StateReplay::Bytes(checkpoint, options) : 0;
}

MemoryWish WishOf(const ServerConfig& config, int64_t fixed_bytes, int64_t replay_bytes) {
  return {.memory_bytes = config.memory_bytes,
          .fixed_bytes = fixed_bytes,
          .replay_bytes = replay_bytes,
          .host_state_bytes = config.host_state_bytes,
          .checkpoint_bytes = config.checkpoint_bytes,
          .sessions_max = config.sessions_max};
}

SessionBytes BytesOf(const StateLayout& layout) {
  return {.slot = layout.slot_bytes(), .host = layout.bytes_per_session() - layout.slot_bytes()};
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
void ParkSessions(Engine& engine, int64_t bytes_per_session, const Clock& clock, const TierOptions& tiers) {
  constexpr double kBytesPerSecond = 200e6;  // of a slow disk, or Redis
  const int64_t sessions = engine.sessions();
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
  const int64_t lost = store != nullptr ? engine.ParkSessions(begin + patience) : sessions;
  if (sessions == 0 && lost == 0) return;
  LogInfo("parked", {{"sessions", sessions - lost}, {"lost", lost}, {"seconds", SecondsBetween(begin, clock.Now())}});
}

// How long a step may take; 0: any time. A step on a CPU takes as long as the model and the machine make it.
double StepMaxSeconds(const ServerConfig& config, const Backend& backend) {
  constexpr double kOnACard = 10;
  if (config.step_timeout_seconds >= 0) return config.step_timeout_seconds;
  return backend.name() == "cuda" ? kOnACard : 0;
}

// A step hangs, and the engine's thread in it: what that thread does where a device fails is done without it.
[[noreturn]] void LeaveHung(double seconds, Engine& engine, RpcServer& server, Health& health) {
  constexpr absl::Duration kForMessages = absl::Seconds(1), kAtMost = absl::Seconds(3);
  std::thread([kAtMost] {  // whatever hangs below
    absl::SleepFor(kAtMost);
    std::_Exit(kSoftware);
  })
      .detach();
  const std::string why = absl::StrCat("a step has not ended in ", seconds, " s: the device hangs");
  LogError("step_hangs", {{"error", why}});
  health.Enter(Health::Phase::kDraining);
  server.SetNotServing();
  engine.Abandon(why);
  absl::SleepFor(kForMessages);  // on their way; the listener cannot be waited for, since calls wait for the engine
  FlushLog();
  std::_Exit(kSoftware);
}

// Serves until SIGTERM or SIGINT, then drains.
int Serve(const ServerConfig& config, const Checkpoint& checkpoint, Backend& backend, const ModelOptions& options,
          const MemoryRoom& room, EdgeFiles& edge, Health& health) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer;
  if (checkpoint.tokenizer_path()) {
    tokenizer = Tokenizer::Load(*checkpoint.tokenizer_path());
    if (!tokenizer.ok()) return Fail(kConfig, tokenizer.status());
  } else {
    tokenizer = nullptr;
  }
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(checkpoint, backend, options);
  if (!model.ok()) return Fail(kConfig, model.status());
  const StateLayout& layout = (*model)->state_layout();
  const int64_t replay_bytes = ReplayBytes(config, checkpoint, options);
  const absl::StatusOr<MemoryPlan> plan = PlanMemory(
      room, WishOf(config, (*model)->weights().bytes + (*model)->workspace_bytes(), replay_bytes), BytesOf(layout));
  if (!plan.ok()) return Fail(kConfig, plan.status());
  absl::StatusOr<StatePool> pool = StatePool::Create(backend, layout, plan->slots);
  if (!pool.ok()) return Fail(kConfig, pool.status());

  absl::StatusOr<Stores> stores = OpenStores(config);
  if (!stores.ok()) return Fail(kConfig, stores.status());
  const std::string fingerprint = ServedFingerprint(checkpoint, options.weights);
  const SessionFormat format(layout, fingerprint, (*model)->config().vocab_size);
  const std::vector<Engine::StoredSession> stored = FindStoredSessions(*stores, format);

  const std::string weights_type((*model)->weights().type_name());
  Metrics metrics;
  const SteadyClock clock;
  metrics.build_info
      .Add({{"version", kVersion},
            {"backend", std::string(backend.name())},
            {"model", NameOf(config.model)},
            {"weights", weights_type}})
      .Set(1);
  KeptSnapshots kept_snapshots;
  ThreadWorker device_worker, directory_worker, registry_worker, background;
  // A message costs tens of microseconds. Where no core is left beside those that compute, another thread would take
  // them from the middle of a step instead of from between two.
  const bool core_left = backend.threads() < UsableCores();
  const std::unique_ptr<Worker> delivery =
      core_left ? std::unique_ptr<Worker>(std::make_unique<ThreadWorker>()) : std::make_unique<InlineWorker>();
  constexpr double kReplayCpuShare = 0.03;
  StateReplay replay(checkpoint, options, layout, kReplayCpuShare);
  ThreadWorker replay_worker(ThreadWorker::Priority::kIdle);
  const bool positions_end = (*model)->config().any_layer([](LayerType t) { return t == LayerType::kFullAttention; });
  const int64_t positions_max = positions_end ? options.max_positions : 0;
  const std::unique_ptr<Peer> peer = config.drain_peer.empty() ? nullptr : std::make_unique<Peer>(PeerOf(config));
  TierOptions tiers = {
      .host_sessions = config.host_state_bytes / layout.bytes_per_session(),
      .directory_sessions = stores->sessions != nullptr ? config.directory_state_bytes / format.bytes_max() : 0,
      .registry_sessions = stores->registry != nullptr ? config.redis_state_bytes / format.bytes_max() : 0,
      .directory = stores->sessions.get(),
      .registry = stores->registry.get(),
      .format = &format,
      .device_worker = &device_worker,
      .directory_worker = &directory_worker,
      .registry_worker = &registry_worker};
  if (peer != nullptr) {
    tiers.hand_over = [&peer](const std::string& key, absl::string_view bytes) { return peer->Import(key, bytes); };
  }
  std::atomic<bool> device_failed = false;
  Engine engine(**model, *pool, tokenizer->get(), metrics, clock,
                {.queue_requests_max = static_cast<size_t>(config.limits.queue_requests_max),
                 .outbox_events_max = static_cast<size_t>(config.outbox_events_max),
                 .step_target_seconds = config.step_target_ms / 1000,
                 .poison_freed_slots = config.poison_freed_slots,
                 .positions_max = positions_max,
                 .checkpoint_bytes = plan->checkpoint_bytes,
                 .rewind_tokens_max = config.limits.rewind_tokens_max,
                 .prefix_tokens_min = config.prefix_tokens_min,
                 .health = &health,
                 .latent_sample_steps = config.latent_sample_steps,
                 .drift = {.replay = replay_bytes > 0 ? &replay : nullptr,
                           .worker = &replay_worker,
                           .sample_seconds = config.drift_sample_seconds},
                 .tiers = tiers,
                 .on_device_failure = [&device_failed](const absl::Status& status) {
                   LogError("device_failed", {{"error", std::string(status.message())}});
                   device_failed = true;
                   kill(getpid(), SIGTERM);  // wakes the wait for signals
                 }});
  engine.Adopt(stored);
  if (edge.access != nullptr) engine.SetTenants(edge.access->policy()->tenants);
  ReplayCache replays;
  Serving serving = {.engine = engine,
                     .metrics = metrics,
                     .replays = replays,
                     .model = **model,
                     .tokenizer = tokenizer->get(),
                     .limits = config.limits,
                     .sampling_defaults = DefaultsOf(checkpoint.generation_defaults()),
                     .slots = plan->slots,
                     .model_name = NameOf(config.model),
                     .fingerprint = fingerprint,
                     .backend_kind = std::string(backend.name()),
                     .backend_device = backend.Describe(),
                     .threads = backend.threads(),
                     .server_version = kVersion,
                     .access = edge.access.get(),
                     .tenant_header = config.tenant_header,
                     .format = format,
                     .snapshots = stores->snapshots.get(),
                     .kept_snapshots = kept_snapshots,
                     .sealer = stores->sealer ? &*stores->sealer : nullptr,
                     .delivery = *delivery,
                     .background = background,
                     .sessions_total_max = engine.sessions_max(),
                     .checkpoint_bytes = plan->checkpoint_bytes};
  serving.limits.positions_max = positions_max;
  if (plan->checkpoint_bytes == 0) serving.limits.rewind_tokens_max = 0;
  if (stores->sealer) {
    serving.limits.sealed_state_bytes_max = format.bytes_max() + static_cast<int64_t>(Sealer::kOverheadBytes);
  }
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start(serving, edge.tls.get(), config.listen, config.metrics_listen);
  if (!server.ok()) return Fail(kUnavailable, server.status());
  engine.Start();
  const FileWatch watch(WatchedEdgeFiles(config, edge, engine), metrics);
  std::unique_ptr<Watchdog> watchdog;
  if (const double seconds = StepMaxSeconds(config, backend); seconds > 0) {
    watchdog = std::make_unique<Watchdog>(health, Seconds(seconds), [seconds, &engine, &server, &health] {
      LeaveHung(seconds, engine, **server, health);
    });
  }
  health.Enter(Health::Phase::kServing);

  LogInfo("ready", {{"grpc", (*server)->address()},
                    {"metrics", (*server)->metrics_address()},
                    {"model", serving.model_name},
                    {"backend", serving.backend_device},
                    {"weights", weights_type},
                    {"sessions_max", plan->slots},
                    {"sessions_total_max", engine.sessions_max()},
                    {"sessions_stored", stored.size()},
                    {"bytes_per_session", layout.bytes_per_session()}});
  std::printf("ready grpc=%s metrics=%s model=%s backend=%s weights=%s sessions_max=%d bytes_per_session=%ld\n",
              (*server)->address().c_str(), (*server)->metrics_address().c_str(), serving.model_name.c_str(),
              serving.backend_kind.c_str(), weights_type.c_str(), plan->slots,
              static_cast<long>(layout.bytes_per_session()));
  std::fflush(stdout);

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  sigwait(&signals, &signal);
  if (device_failed) {  // nothing in the device's memory can be told from garbage: no session is parked
    (*server)->SetNotServing();
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
  engine.Drain();  // first, so that whoever sees the change of health finds new calls refused
  (*server)->SetNotServing();
  health.Enter(Health::Phase::kDraining);
  // Only calls to the engine are waited for: a health watch or an idle reflection stream never ends by itself.
  const TimePoint drain_end =
      clock.Now() + std::chrono::duration_cast<TimePoint::duration>(Seconds(config.drain_seconds));
  while (!engine.idle() && clock.Now() < drain_end) absl::SleepFor(absl::Milliseconds(5));
  engine.CutOff();
  ParkSessions(engine, layout.bytes_per_session(), clock, tiers);
  engine.Stop();
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
  const absl::StatusOr<std::unique_ptr<Backend>> backend =
      MakeBackend({.kind = config->backend, .threads = static_cast<int>(config->threads), .cpu_isa = config->cpu_isa});
  if (!backend.ok()) return Fail(kConfig, backend.status());
  const ModelOptions options = OptionsFor(*config, (*checkpoint)->config(), **backend);

  // Before anything is loaded: whether the weights and a session fit at all.
  const MemoryRoom room = {.host = AvailableMemoryBytes(), .device = (*backend)->FreeDeviceBytes()};
  const DType stored = options.weights.dtype.value_or((*checkpoint)->find("model.embed_tokens.weight")->dtype);
  const StateLayout layout((*checkpoint)->config(), {.state_dtype = (*backend)->activation_dtype(),
                                                     .ring_dtype = (*backend)->ring_dtype(stored),
                                                     .max_positions = options.max_positions});
  const int64_t weights = WeightBytes(**checkpoint, options.weights);
  const int64_t replay_bytes = ReplayBytes(*config, **checkpoint, options);
  const absl::StatusOr<MemoryPlan> plan = PlanMemory(room, WishOf(*config, weights, replay_bytes), BytesOf(layout));
  if (!plan.ok()) return Fail(kConfig, plan.status());
  if (config->describe) {
    std::fputs(Describe(**checkpoint, layout, NameOf(options.weights, **checkpoint), weights, replay_bytes, plan->slots,
                        plan->memory_bytes)
                   .c_str(),
               stdout);
    return kOk;
  }
  if (config->check_config) return std::printf("ok\n"), kOk;
  return Serve(*config, **checkpoint, **backend, options, room, *edge, health);
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

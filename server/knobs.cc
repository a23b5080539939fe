#include "server/knobs.h"

#include <limits>

namespace barista {
namespace {

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();

#define FIELD(member) [](ServerConfig& c) { return &c.member; }

}  // namespace

const std::vector<Knob>& Knobs() {
  static const auto& knobs = *new std::vector<Knob>{
      {"model", "checkpoint directory (config.json, model.safetensors, tokenizer.json); required",
       TextKnob{&ServerConfig::model, {}}},
      {"backend", "what computes; auto is the fastest this build and machine have",
       TextKnob{&ServerConfig::backend, {"auto", "cpu", "ref", "cuda"}}},
      {"devices",
       "devices that serve, each with the whole model and an engine of its own; 0: every card, or one on the CPU",
       IntKnob{FIELD(devices), 0, 64}},
      {"listen", "HOST:PORT of gRPC; port 0 picks a free one", TextKnob{&ServerConfig::listen, {}}},
      {"metrics_listen", "HOST:PORT of Prometheus metrics over HTTP; empty: none",
       TextKnob{&ServerConfig::metrics_listen, {}}},
      {"health_listen", "HOST:PORT of GET /livez and GET /readyz over HTTP; empty: none",
       TextKnob{&ServerConfig::health_listen, {}}},
      {"tls_cert_file",
       "PEM file, the server's certificate and those between it and its CA; read again when it changes",
       TextKnob{&ServerConfig::tls_cert_file, {}}},
      {"tls_key_file", "PEM file, the certificate's private key", TextKnob{&ServerConfig::tls_key_file, {}}},
      {"tls_client_ca_file", "PEM file: clients must show a certificate that one of its CAs has signed",
       TextKnob{&ServerConfig::tls_client_ca_file, {}}},
      {"access_file",
       "JSON file of API keys and tenants (README.md); read again when it changes; empty: no key is asked",
       TextKnob{&ServerConfig::access_file, {}}},
      {"threads", "threads of the cpu backend, of each device; 0: together one a core this process may use",
       IntKnob{FIELD(threads), 0, 1024}},
      {"cuda_isa", "instructions of the cuda backend, for tests: sm_80 has no wgmma",
       TextKnob{&ServerConfig::cuda_isa, {"auto", "sm_80"}}},
      {"cpu_isa", "instruction set of the cpu backend, for tests",
       TextKnob{&ServerConfig::cpu_isa, {"auto", "amx", "avx512bf16", "avx512", "avx2", "portable"}}},
      {"weights_dtype", "round the weights to this type at load, or quantise the linear layers; auto: as stored",
       TextKnob{&ServerConfig::weights_dtype, {"auto", "f32", "bf16", "f16", "int8", "int4"}}},
      {"sessions_max", "slots, of all devices together; 0: as many as memory_bytes allows, at most 1024 a device",
       IntKnob{FIELD(sessions_max), 0, 1 << 20}},
      {"memory_bytes",
       "bytes for weights, workspace and states, on each card or of the host; 0: 80 % of what is available, or 95 % of "
       "what "
       "is free on the card",
       IntKnob{FIELD(memory_bytes), 0, kAny}},
      {"step_tokens_max", "tokens of one step, decodes and prompt tokens, at least 128; 0: 512, on a card 2048",
       IntKnob{FIELD(step_tokens_max), 0, 8192}},
      {"step_target_ms", "steps that hold decodes and prompt tokens are kept near this",
       RealKnob{FIELD(step_target_ms), 1, 10000}},
      {"step_timeout_seconds",
       "a step that takes longer hangs, and ends the server with exit code 70; 0: none does; -1: 10 on a card, 0 "
       "elsewhere",
       RealKnob{FIELD(step_timeout_seconds), -1, 3600}},
      {"max_positions", "positions of full_attention layers; 0: max_position_embeddings, else 4096",
       IntKnob{FIELD(max_positions), 0, 1 << 24}},
      {"outbox_events_max", "events a slow reader may leave before its call pauses",
       IntKnob{FIELD(outbox_events_max), 32, 65536}},
      {"drain_delay_seconds",
       "seconds after SIGTERM in which health says NOT_SERVING and new calls are still taken: as long as proxies need "
       "to "
       "see it",
       RealKnob{FIELD(drain_delay_seconds), 0, 600}},
      {"drain_seconds", "seconds after that until running calls are cut off", RealKnob{FIELD(drain_seconds), 0, 3600}},
      {"state_dir", "directory for idle sessions and snapshots, made if missing; empty: nothing is kept on disk",
       TextKnob{&ServerConfig::state_dir, {}}},
      {"directory_state_bytes", "bytes of idle sessions under state_dir",
       IntKnob{FIELD(directory_state_bytes), 0, kAny}},
      {"host_state_bytes", "bytes of idle sessions in the host's memory, where they go before state_dir",
       IntKnob{FIELD(host_state_bytes), 0, kAny}},
      {"checkpoint_bytes",
       "bytes of states kept for rewinds and for prompts that begin alike; 0: none; -1: a sixteenth of the memory, at "
       "most 256 MiB a device",
       IntKnob{FIELD(checkpoint_bytes), -1, kAny}},
      {"rewind_tokens_max", "tokens that a session can be put back; 0: only to marks and turns",
       IntKnob{FIELD(limits.rewind_tokens_max), 0, 4096}},
      {"prefix_tokens_min", "tokens of a prompt whose state is kept for later ones",
       IntKnob{FIELD(prefix_tokens_min), 64, 1 << 24}},
      {"redis", "HOST:PORT of the Redis through which servers share sessions and snapshots; empty: none",
       TextKnob{&ServerConfig::redis, {}}},
      {"redis_namespace", "servers with the same one, and the same model, share",
       TextKnob{&ServerConfig::redis_namespace, {}}},
      {"redis_state_bytes", "bytes of idle sessions that this server puts into Redis",
       IntKnob{FIELD(redis_state_bytes), 0, kAny}},
      {"redis_timeout_ms", "milliseconds that one command of Redis may take",
       IntKnob{FIELD(redis_timeout_ms), 10, 60000}},
      {"drain_peer",
       "HOST:PORT of a server with the same model that takes this one's sessions at SIGTERM; not used with --redis",
       TextKnob{&ServerConfig::drain_peer, {}}},
      {"peer_ca_file",
       "PEM file: drain_peer is called with TLS, and its certificate must be signed by one of these CAs",
       TextKnob{&ServerConfig::peer_ca_file, {}}},
      {"peer_cert_file", "PEM file: the certificate that drain_peer is shown",
       TextKnob{&ServerConfig::peer_cert_file, {}}},
      {"peer_key_file", "PEM file, that certificate's private key", TextKnob{&ServerConfig::peer_key_file, {}}},
      {"peer_api_key_file", "file with an admin key of drain_peer", TextKnob{&ServerConfig::peer_api_key_file, {}}},
      {"seal_key_file",
       "file with 64 hexadecimal digits: encrypts what lies under state_dir, and the states that callers keep",
       TextKnob{&ServerConfig::seal_key_file, {}}},
      {"tenant_header", "metadata key of the caller's tenant, which the proxy in front sets; empty: one tenant",
       TextKnob{&ServerConfig::tenant_header, {}}},
      {"latent_sample_steps", "steps from one token whose use of the latents is measured to the next; 0: none is",
       IntKnob{FIELD(latent_sample_steps), 0, 1 << 20}},
      {"drift_sample_seconds",
       "seconds from one call whose state is compared with a replay in float64 to the next, at least; 0: none is. A "
       "replay reads the checkpoint's files again, holds one layer in float64 and takes 3 % of a core at most",
       RealKnob{FIELD(drift_sample_seconds), 0, 1e6}},
      {"poison_freed_slots", "fill freed slots with NaN", BoolKnob{&ServerConfig::poison_freed_slots}},
      {"log_level", "how much to log, as JSON lines on stderr",
       TextKnob{&ServerConfig::log_level, {"debug", "info", "warn", "error"}}},
      {"prompt_tokens_max", "tokens of a prompt", IntKnob{FIELD(limits.prompt_tokens_max), 1, 1 << 24}},
      {"prompt_bytes_max", "bytes of a prompt's text", IntKnob{FIELD(limits.prompt_bytes_max), 1, 1 << 26}},
      {"max_tokens_max", "tokens a choice may ask for", IntKnob{FIELD(limits.max_tokens_max), 1, 1 << 30}},
      {"n_max", "choices of one request", IntKnob{FIELD(limits.n_max), 1, 1024}},
      {"speculation_tokens_max", "tokens a request may have drafted a step",
       IntKnob{FIELD(limits.speculation_tokens_max), 0, 64}},
      {"score_tokens_max", "tokens of a text that is scored", IntKnob{FIELD(limits.score_tokens_max), 1, 1 << 20}},
      {"classify_tokens_max", "tokens of a text that is classified",
       IntKnob{FIELD(limits.classify_tokens_max), 1, 1 << 16}},
      {"queue_requests_max", "requests that may wait for a slot",
       IntKnob{FIELD(limits.queue_requests_max), 0, 1 << 20}},
      {"deadline_seconds_max", "seconds a call may take; a longer or missing deadline is cut to this",
       RealKnob{FIELD(limits.deadline_seconds_max), 0.001, 1e7}},
      {"describe", "print the plan of memory from the checkpoint's config alone, and exit",
       BoolKnob{&ServerConfig::describe}, true},
      {"check_config", "check flags, config file and checkpoint, and exit", BoolKnob{&ServerConfig::check_config},
       true},
  };
  return knobs;
}

}  // namespace barista

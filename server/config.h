// Every knob of the server in one validated value. Nothing else reads flags, files or the environment.
//
// A knob is a flag (--listen=…) and a key of the JSON file named by --config with the same name; a flag wins over the
// file. knobs.cc holds the one table: name, meaning, range, default.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/limits.h"

namespace barista {

struct ServerConfig {
  std::string model;                              // checkpoint directory; required
  std::string backend = "auto";                   // auto, cpu, ref, cuda
  int64_t devices = 0;                            // an engine on each; 0: all cards, or one on the CPU
  std::string listen = "127.0.0.1:8470";          // gRPC; port 0 picks a free one
  std::string metrics_listen = "127.0.0.1:8471";  // Prometheus text over HTTP; empty: none
  std::string health_listen;                      // /livez and /readyz over HTTP; empty: none
  std::string tls_cert_file, tls_key_file;        // PEM; both or neither: gRPC with TLS
  std::string tls_client_ca_file;                 // PEM: clients must show a certificate that it signed
  std::string access_file;                        // API keys and tenants; empty: whoever connects may call
  int64_t threads = 0;                            // of the cpu backend; 0: one a core this process may use
  std::string cuda_isa = "auto";                  // sm_80: no wgmma where a card has it, for tests
  std::string cpu_isa = "auto";                   // a lower instruction set than the machine's, for tests
  std::string weights_dtype = "auto";             // auto: as stored; others: round or quantise at load
  int64_t sessions_max = 0;          // slots of all devices; 0: what memory_bytes allows, at most 1024 each
  int64_t memory_bytes = 0;          // for weights, workspace and states; 0: most of what there is
  int64_t step_tokens_max = 0;       // tokens of one step; 0: 512, on a card 2048
  double step_target_ms = 40;        // steps with decodes and prompt tokens are kept near this
  double step_timeout_seconds = -1;  // a longer step hangs; 0: none; -1: 10 on a card, 0 elsewhere
  int64_t max_positions = 0;         // of full_attention layers; 0: max_position_embeddings, else 4096
  int64_t outbox_events_max = 256;   // events a slow reader may leave before its call pauses
  double drain_delay_seconds = 0;    // after SIGTERM, in which new calls are still taken
  double drain_seconds = 30;         // after SIGTERM, until running calls are cut off
  std::string state_dir;             // idle sessions and snapshots; empty: none are kept on disk
  int64_t directory_state_bytes = int64_t{16} << 30;  // of idle sessions under state_dir
  int64_t host_state_bytes = 0;                       // of idle sessions in the host's memory
  int64_t checkpoint_bytes = -1;                      // of kept states; -1: a sixteenth of the memory, at most 256 MiB
  int64_t prefix_tokens_min = 256;                    // of a prompt whose state is kept for later ones
  std::string redis;                                  // HOST:PORT; empty: none
  std::string redis_namespace = "barista";            // servers with the same one share sessions and snapshots
  int64_t redis_state_bytes = int64_t{4} << 30;       // of idle sessions that this server puts there
  int64_t redis_timeout_ms = 500;                     // of one command
  std::string drain_peer;                             // HOST:PORT of a server that takes the sessions; empty: none
  std::string peer_ca_file;                           // PEM: drain_peer has TLS; its certificate is signed by this
  std::string peer_cert_file, peer_key_file;          // PEM, both or neither: what this server shows drain_peer
  std::string peer_api_key_file;                      // an admin key of drain_peer
  std::string seal_key_file;                          // 64 hexadecimal digits; empty: nothing is encrypted
  std::string tenant_header;                          // metadata key of the caller's tenant; empty: one tenant
  int64_t latent_sample_steps = 32;                   // steps from one measured row of p(l|t) to the next; 0: none
  double drift_sample_seconds = 300;                  // from one call replayed in float64 to the next; 0: none
  bool poison_freed_slots = false;                    // NaN in freed slots
  std::string log_level = "info";                     // debug, info, warn, error
  Limits limits;

  bool describe = false;      // print the plan of memory and exit
  bool check_config = false;  // check flags, file and checkpoint's config, and exit
};

// argv without the program's name. Errors name flag or key, value and range, and the nearest known name for an unknown
// one: InvalidArgument for flags, FailedPrecondition for the file.
absl::StatusOr<ServerConfig> ParseServerConfig(const std::vector<std::string>& args);

// The text of --help: every knob with its range and default.
std::string ConfigHelp();

}  // namespace barista

#include "server/access/access_table.h"

#include <algorithm>

namespace barista {
namespace {

constexpr AccessRule kAnybody = AccessRule::kAnybody, kAnyKey = AccessRule::kAnyKey, kAdminKey = AccessRule::kAdminKey;

constexpr AccessTableRow kTable[] = {
    {"barista.v1.InferenceService/Generate", kAnyKey},
    {"barista.v1.InferenceService/Score", kAnyKey},
    {"barista.v1.InferenceService/Classify", kAnyKey},
    {"barista.v1.InferenceService/Append", kAnyKey},
    {"barista.v1.InferenceService/Converse", kAnyKey},
    {"barista.v1.ModelService/GetModel", kAnyKey},
    {"barista.v1.SessionService/CreateSession", kAnyKey},
    {"barista.v1.SessionService/GetSession", kAnyKey},
    {"barista.v1.SessionService/ListSessions", kAnyKey},
    {"barista.v1.SessionService/DeleteSession", kAnyKey},
    {"barista.v1.SessionService/ForkSession", kAnyKey},
    {"barista.v1.SessionService/ExportSession", kAnyKey},
    {"barista.v1.SessionService/ImportSession", kAnyKey},
    {"barista.v1.SessionService/SnapshotSession", kAnyKey},
    {"barista.v1.SessionService/RestoreSession", kAnyKey},
    {"barista.v1.SessionService/GetSnapshot", kAnyKey},
    {"barista.v1.SessionService/ListSnapshots", kAnyKey},
    {"barista.v1.SessionService/DeleteSnapshot", kAnyKey},
    {"barista.v1.SessionService/RewindSession", kAnyKey},
    {"barista.v1.TokenizerService/Tokenize", kAnyKey},
    {"barista.v1.TokenizerService/Detokenize", kAnyKey},
    {"grpc.health.v1.Health/Check", kAnybody},
    {"grpc.health.v1.Health/Watch", kAnybody},
    // They tell of everybody's connections, and of all there is to call.
    {"grpc.channelz.v1.Channelz/GetTopChannels", kAdminKey},
    {"grpc.channelz.v1.Channelz/GetServers", kAdminKey},
    {"grpc.channelz.v1.Channelz/GetServer", kAdminKey},
    {"grpc.channelz.v1.Channelz/GetServerSockets", kAdminKey},
    {"grpc.channelz.v1.Channelz/GetChannel", kAdminKey},
    {"grpc.channelz.v1.Channelz/GetSubchannel", kAdminKey},
    {"grpc.channelz.v1.Channelz/GetSocket", kAdminKey},
    {"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kAdminKey},
};

}  // namespace

absl::Span<const AccessTableRow> AccessTable() { return kTable; }

std::optional<AccessRule> RuleOf(absl::string_view method) {
  const auto* row =
      std::find_if(std::begin(kTable), std::end(kTable), [&](const AccessTableRow& r) { return r.method == method; });
  if (row == std::end(kTable)) return std::nullopt;
  return row->rule;
}

}  // namespace barista

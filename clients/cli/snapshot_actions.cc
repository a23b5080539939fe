#include "clients/cli/json.h"
#include "clients/cli/session_action.h"
#include "clients/cli/session_name.h"
#include "clients/cli/session_print.h"
#include "clients/cli/snapshot_print.h"

namespace barista::cli {

using Stub = v1::SessionService::StubInterface;

int TakeSnapshot(const SessionCall& call) {
  v1::SnapshotSessionRequest request;
  v1::SnapshotSessionResponse response;
  request.set_name(SessionName(call.words[0]));
  if (call.words.size() > 1) request.set_snapshot_id(SnapshotId(call.words[1]));
  request.mutable_tags()->insert(call.flags.tags.begin(), call.flags.tags.end());
  if (call.flags.replace.has_value()) request.set_replace(*call.flags.replace);
  const int exit_code = CallSessions(call, &Stub::SnapshotSession, request, response);
  if (exit_code == kOk) PrintSnapshot(response.snapshot(), call.options, call.io);
  return exit_code;
}

int RestoreSnapshot(const SessionCall& call) {
  v1::RestoreSessionRequest request;
  v1::RestoreSessionResponse response;
  request.set_snapshot(SnapshotName(call.words[0]));
  NameNewSession(call, 1, request);
  if (call.flags.replace.has_value()) request.set_replace(*call.flags.replace);
  const int exit_code = CallSessions(call, &Stub::RestoreSession, request, response);
  if (exit_code == kOk) {
    PrintSession(response.session(), call.options, call.io, {{"prefill_tokens", response.prefill_tokens()}});
  }
  return exit_code;
}

int ListSnapshots(const SessionCall& call) {
  Snapshots snapshots;
  const int exit_code = CallForAllPages(call, &Stub::ListSnapshots, [&](const v1::ListSnapshotsResponse& page) {
    snapshots.MergeFrom(page.snapshots());
  });
  if (exit_code == kOk) PrintSnapshots(snapshots, call.options, call.io);
  return exit_code;
}

int ShowSnapshot(const SessionCall& call) {
  v1::GetSnapshotRequest request;
  v1::GetSnapshotResponse response;
  request.set_name(SnapshotName(call.words[0]));
  const int exit_code = CallSessions(call, &Stub::GetSnapshot, request, response);
  if (exit_code == kOk) PrintSnapshot(response.snapshot(), call.options, call.io);
  return exit_code;
}

int DropSnapshot(const SessionCall& call) {
  v1::DeleteSnapshotRequest request;
  v1::DeleteSnapshotResponse response;
  request.set_name(SnapshotName(call.words[0]));
  const int exit_code = CallSessions(call, &Stub::DeleteSnapshot, request, response);
  if (exit_code == kOk && call.options.json) call.io.out << Dump(MessageJson(response)) << std::endl;
  return exit_code;
}

}  // namespace barista::cli

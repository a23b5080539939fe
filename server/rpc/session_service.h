// barista.v1.SessionService. What it does to sessions happens on the engine's thread, between two steps; what it does
// with snapshots, on a worker of its own. Thread safe; Serving outlives it.
#pragma once

#include <functional>
#include <string>

#include "barista/v1/session.grpc.pb.h"
#include "server/rpc/serving.h"

namespace barista {

class SessionService final : public v1::SessionService::CallbackService {
 public:
  explicit SessionService(const Serving& serving);

  grpc::ServerUnaryReactor* CreateSession(grpc::CallbackServerContext* context, const v1::CreateSessionRequest* request,
                                          v1::CreateSessionResponse* response) override;
  grpc::ServerUnaryReactor* GetSession(grpc::CallbackServerContext* context, const v1::GetSessionRequest* request,
                                       v1::GetSessionResponse* response) override;
  grpc::ServerUnaryReactor* ListSessions(grpc::CallbackServerContext* context, const v1::ListSessionsRequest* request,
                                         v1::ListSessionsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteSession(grpc::CallbackServerContext* context, const v1::DeleteSessionRequest* request,
                                          v1::DeleteSessionResponse* response) override;
  grpc::ServerUnaryReactor* ForkSession(grpc::CallbackServerContext* context, const v1::ForkSessionRequest* request,
                                        v1::ForkSessionResponse* response) override;
  grpc::ServerUnaryReactor* RewindSession(grpc::CallbackServerContext* context, const v1::RewindSessionRequest* request,
                                          v1::RewindSessionResponse* response) override;
  // snapshot_methods.cc
  grpc::ServerUnaryReactor* SnapshotSession(grpc::CallbackServerContext* context,
                                            const v1::SnapshotSessionRequest* request,
                                            v1::SnapshotSessionResponse* response) override;
  grpc::ServerUnaryReactor* RestoreSession(grpc::CallbackServerContext* context,
                                           const v1::RestoreSessionRequest* request,
                                           v1::RestoreSessionResponse* response) override;
  grpc::ServerUnaryReactor* GetSnapshot(grpc::CallbackServerContext* context, const v1::GetSnapshotRequest* request,
                                        v1::GetSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* ListSnapshots(grpc::CallbackServerContext* context, const v1::ListSnapshotsRequest* request,
                                          v1::ListSnapshotsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteSnapshot(grpc::CallbackServerContext* context,
                                           const v1::DeleteSnapshotRequest* request,
                                           v1::DeleteSnapshotResponse* response) override;

 private:
  using Finish = std::function<void(const absl::Status&)>;
  using Start = std::function<absl::Status(const Finish& finish)>;
  // Answers with the status that `finish` is called with, once, on any thread; with `checked`, or what `start` returns,
  // at once where that is an error.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext& context, const char* method, absl::Status checked,
                                   const Start& start) const;
  // The same for a call that changes something: safe to repeat by request_id (replay_cache.h).
  grpc::ServerUnaryReactor* AnswerOnce(grpc::CallbackServerContext& context, const char* method,
                                       const std::string& request_id, const google::protobuf::Message& request,
                                       google::protobuf::Message& response, absl::Status checked,
                                       const Start& start) const;
  // Runs `work` on the background worker, where the server keeps snapshots at all.
  Start InStore(std::function<void(const Finish& finish)> work) const;
  void Fill(const Session& session, v1::Session& to) const;

  const Serving& serving_;
};

}  // namespace barista

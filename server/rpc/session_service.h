// barista.v1.SessionService. What it does happens on the engine's thread, between two steps. Thread safe; Serving
// outlives it.
#pragma once

#include <functional>

#include "barista/v1/session.grpc.pb.h"
#include "server/engine/session_bytes.h"
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

 private:
  // Answers with what `work` returns, run on the engine's thread; with `checked` at once where that is an error.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext& context, absl::Status checked,
                                   std::function<absl::Status(SessionTable&)> work) const;
  // The same for a call that changes something: safe to repeat by request_id (replay_cache.h).
  template <class Request>
  grpc::ServerUnaryReactor* AnswerOnce(grpc::CallbackServerContext& context, const Request& request,
                                       google::protobuf::Message& response, absl::Status checked,
                                       std::function<absl::Status(SessionTable&)> work) const;
  void Fill(const Session& session, v1::Session& to) const;

  const Serving& serving_;
  const SessionFormat format_;
};

}  // namespace barista

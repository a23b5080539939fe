#include "clients/cli/session_wait.h"

#include <grpcpp/client_context.h>

#include <chrono>
#include <thread>

#include "barista/v1/session.grpc.pb.h"

namespace barista::cli {

std::optional<v1::Session> WaitUntilIdle(const std::shared_ptr<grpc::Channel>& channel, const std::string& name) {
  constexpr std::chrono::seconds kWait(5);
  constexpr std::chrono::milliseconds kPause(20);
  const auto stub = v1::SessionService::NewStub(channel);
  const auto deadline = std::chrono::system_clock::now() + kWait;
  v1::GetSessionRequest request;
  request.set_name(name);
  std::optional<v1::Session> session;
  do {
    if (session.has_value()) std::this_thread::sleep_for(kPause);
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::GetSessionResponse response;
    if (!stub->GetSession(&context, request, &response).ok()) break;
    session = response.session();
  } while (session->busy());
  return session;
}

}  // namespace barista::cli

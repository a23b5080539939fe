#include "server/rpc/session_service.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/export_stream.h"
#include "server/rpc/import_stream.h"
#include "server/rpc/request.h"
#include "server/rpc/session_name.h"
#include "server/rpc/status_map.h"
#include "server/rpc/strict_methods.h"

namespace barista {
namespace {

constexpr uint32_t kPageSizeMax = 1000;
constexpr uint32_t kPageSizeDefault = 100;
constexpr int kForksMax = 1024;

void FillTime(WallTime time, google::protobuf::Timestamp& to) {
  const auto since = time.time_since_epoch();
  to = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

absl::Status CheckForkIds(const v1::ForkSessionRequest& request) {
  const int count = request.session_ids_size();
  if (count < 1 || count > kForksMax) {
    return FieldError("session_ids", absl::StrCat(count, " ids, range 1 to ", kForksMax));
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("session_ids[", i, "]");
    if (absl::Status status = CheckSessionId(request.session_ids(i), field); !status.ok()) return status;
    if (!seen.insert(request.session_ids(i)).second) {
      return FieldError(field, absl::StrCat("\"", request.session_ids(i), "\" stands twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPage(const v1::ListSessionsRequest& request) {
  if (request.has_page_size() && (request.page_size() < 1 || request.page_size() > kPageSizeMax)) {
    return FieldError("page_size", absl::StrCat(request.page_size(), ", range 1 to ", kPageSizeMax));
  }
  return request.page_token().empty() ? absl::OkStatus() : CheckSessionId(request.page_token(), "page_token");
}

}  // namespace

// The numbers are those of the methods in session.proto, in order.
SessionService::SessionService(const Serving& serving)
    : serving_(serving), format_(serving.model.state_layout(), serving.fingerprint, serving.model.config().vocab_size) {
  Metrics& metrics = serving.metrics;
  const auto strict = [this, &metrics](int number, auto method, auto request, auto response) {
    MarkMethodRawCallback(number, StrictUnary<decltype(request), decltype(response)>(
                                      metrics, [this, method](auto* context, auto* in, auto* out) {
                                        return (this->*method)(context, in, out);
                                      }));
  };
  strict(0, &SessionService::CreateSession, v1::CreateSessionRequest(), v1::CreateSessionResponse());
  strict(1, &SessionService::GetSession, v1::GetSessionRequest(), v1::GetSessionResponse());
  strict(2, &SessionService::ListSessions, v1::ListSessionsRequest(), v1::ListSessionsResponse());
  strict(3, &SessionService::DeleteSession, v1::DeleteSessionRequest(), v1::DeleteSessionResponse());
  strict(4, &SessionService::ForkSession, v1::ForkSessionRequest(), v1::ForkSessionResponse());
  MarkMethodRawCallback(
      5, StrictServerStream<v1::ExportSessionRequest, v1::ExportSessionResponse>(
             metrics, [this](auto*, auto* request) { return new ExportStream(*request, serving_, format_); }));
  MarkMethodRawCallback(6, StrictClientStream<v1::ImportSessionResponse>([this](auto* context, auto* response) {
                          return new ImportStream(context, serving_, format_, [this, response](const Session& session) {
                            Fill(session, *response->mutable_session());
                          });
                        }));
}

grpc::ServerUnaryReactor* SessionService::Answer(grpc::CallbackServerContext& context, absl::Status checked,
                                                 std::function<absl::Status(SessionTable&)> work) const {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();  // once: each call makes a new one
  const auto finish = [reactor, this](const absl::Status& status) {
    RecordEnd(status, serving_.metrics);
    RecordNoSlot(status, serving_.metrics);
    reactor->Finish(ToGrpcStatus(status));
  };
  if (checked.ok() && serving_.model.config().task != Task::kCausalLm) {
    checked = MakeError({.reason = ErrorReason::kWrongTask}, "this model is a classifier: it has no sessions");
  }
  if (checked.ok()) {
    checked =
        serving_.engine.Post([finish, work = std::move(work)](SessionTable& sessions) { finish(work(sessions)); });
  }
  if (!checked.ok()) finish(checked);
  return reactor;
}

template <class Request>
grpc::ServerUnaryReactor* SessionService::AnswerOnce(grpc::CallbackServerContext& context, const Request& request,
                                                     google::protobuf::Message& response, absl::Status checked,
                                                     std::function<absl::Status(SessionTable&)> work) const {
  if (checked.ok()) checked = CheckRequestId(request.request_id(), serving_);
  if (!checked.ok() || request.request_id().empty()) return Answer(context, checked, std::move(work));
  absl::StatusOr<ReplayCache::Begun> begun = serving_.replays.Begin(request.request_id(), request);
  if (!begun.ok()) return Answer(context, begun.status(), std::move(work));
  if (const auto& answer = begun->answer; answer != nullptr) {
    if (!answer->messages.empty()) response.ParseFromString(answer->messages[0]);
    return Answer(context, answer->status, [](SessionTable&) { return absl::OkStatus(); });
  }
  return Answer(context, absl::OkStatus(),
                [recording = begun->recording, work = std::move(work), &response](SessionTable& sessions) {
                  const absl::Status status = work(sessions);
                  if (status.ok()) recording->Add(response);
                  recording->End(status);
                  return status;
                });
}

grpc::ServerUnaryReactor* SessionService::CreateSession(grpc::CallbackServerContext* context,
                                                        const v1::CreateSessionRequest* request,
                                                        v1::CreateSessionResponse* response) {
  const std::string id = request->has_session_id() ? request->session_id() : DrawnSessionId();
  return AnswerOnce(*context, *request, *response, CheckSessionId(id, "session_id"),
                    [this, id, response](SessionTable& sessions) {
                      const absl::StatusOr<const Session*> session = sessions.Create(id);
                      if (session.ok()) Fill(**session, *response->mutable_session());
                      return session.status();
                    });
}

grpc::ServerUnaryReactor* SessionService::GetSession(grpc::CallbackServerContext* context,
                                                     const v1::GetSessionRequest* request,
                                                     v1::GetSessionResponse* response) {
  const absl::StatusOr<std::string> id = ParseSessionName(request->name(), "name");
  return Answer(*context, id.status(), [this, id, response](SessionTable& sessions) {
    const absl::StatusOr<const Session*> session = sessions.Find(*id);
    if (session.ok()) Fill(**session, *response->mutable_session());
    return session.status();
  });
}

grpc::ServerUnaryReactor* SessionService::ListSessions(grpc::CallbackServerContext* context,
                                                       const v1::ListSessionsRequest* request,
                                                       v1::ListSessionsResponse* response) {
  const int64_t size = request->has_page_size() ? request->page_size() : kPageSizeDefault;
  const std::string after = request->page_token();
  return Answer(*context, CheckPage(*request), [this, size, after, response](SessionTable& sessions) {
    std::vector<const Session*> page = sessions.List(after, size + 1);
    const bool more = static_cast<int64_t>(page.size()) > size;
    if (more) page.pop_back();
    for (const Session* session : page) Fill(*session, *response->add_sessions());
    response->set_next_page_token(more ? page.back()->id : "");
    response->set_total_size(sessions.size());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SessionService::DeleteSession(grpc::CallbackServerContext* context,
                                                        const v1::DeleteSessionRequest* request,
                                                        v1::DeleteSessionResponse* response) {
  const absl::StatusOr<std::string> id = ParseSessionName(request->name(), "name");
  return AnswerOnce(*context, *request, *response, id.status(),
                    [id](SessionTable& sessions) { return sessions.Delete(*id); });
}

grpc::ServerUnaryReactor* SessionService::ForkSession(grpc::CallbackServerContext* context,
                                                      const v1::ForkSessionRequest* request,
                                                      v1::ForkSessionResponse* response) {
  const absl::StatusOr<std::string> id = ParseSessionName(request->name(), "name");
  const absl::Status checked = id.ok() ? CheckForkIds(*request) : id.status();
  const std::vector<std::string> children(request->session_ids().begin(), request->session_ids().end());
  return AnswerOnce(*context, *request, *response, checked, [this, id, children, response](SessionTable& sessions) {
    const absl::StatusOr<std::vector<const Session*>> made = sessions.Fork(*id, children);
    if (!made.ok()) return made.status();
    for (const Session* session : *made) Fill(*session, *response->add_sessions());
    return absl::OkStatus();
  });
}

void SessionService::Fill(const Session& session, v1::Session& to) const {
  to.set_name(SessionName(session.id));
  to.set_position(session.sequence().tokens());
  to.set_busy(session.running != nullptr);
  to.set_state_bytes(serving_.model.state_layout().bytes_per_session());
  to.set_model_fingerprint(serving_.fingerprint);
  FillTime(session.created, *to.mutable_create_time());
  FillTime(session.used, *to.mutable_use_time());
}

}  // namespace barista

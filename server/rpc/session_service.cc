#include "server/rpc/session_service.h"

#include <map>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/rpc/call_end.h"
#include "server/rpc/call_record.h"
#include "server/rpc/export_stream.h"
#include "server/rpc/import_stream.h"
#include "server/rpc/page.h"
#include "server/rpc/request.h"
#include "server/rpc/rewind_call.h"
#include "server/rpc/session_name.h"
#include "server/rpc/status_map.h"
#include "server/rpc/strict_methods.h"
#include "server/rpc/tenant.h"
#include "server/words/drawn_id.h"

namespace barista {
namespace {

constexpr int kForksMax = 1024;

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

v1::Tier ToProto(Tier tier) {
  switch (tier) {
    case Tier::kEmpty:
      return v1::TIER_UNSPECIFIED;
    case Tier::kDevice:
      return v1::TIER_DEVICE;
    case Tier::kHost:
      return v1::TIER_HOST;
    case Tier::kDirectory:
      return v1::TIER_DIRECTORY;
    case Tier::kRegistry:
      return v1::TIER_REDIS;
  }
  return v1::TIER_UNSPECIFIED;
}

}  // namespace

// The numbers are those of the methods in session.proto, in order.
SessionService::SessionService(const Serving& serving) : serving_(serving) {
  Metrics& metrics = serving.metrics;
  const auto strict = [this, &metrics](int number, auto method, auto request, auto response) {
    MarkMethodRawCallback(number, StrictUnary<decltype(request), decltype(response)>(
                                      metrics, [this, method](auto* context, auto* in, auto* out) {
                                        return (this->*method)(context, in, out);
                                      }));
  };
  using S = SessionService;
  strict(0, &S::CreateSession, v1::CreateSessionRequest(), v1::CreateSessionResponse());
  strict(1, &S::GetSession, v1::GetSessionRequest(), v1::GetSessionResponse());
  strict(2, &S::ListSessions, v1::ListSessionsRequest(), v1::ListSessionsResponse());
  strict(3, &S::DeleteSession, v1::DeleteSessionRequest(), v1::DeleteSessionResponse());
  strict(4, &S::ForkSession, v1::ForkSessionRequest(), v1::ForkSessionResponse());
  MarkMethodRawCallback(
      5, StrictServerStream<v1::ExportSessionRequest, v1::ExportSessionResponse>(
             metrics, [this](auto* context, auto* request) { return new ExportStream(*context, *request, serving_); }));
  MarkMethodRawCallback(6, StrictClientStream<v1::ImportSessionResponse>([this](auto* context, auto* response) {
                          return new ImportStream(context, serving_, [this, response](const Session& session) {
                            Fill(session, *response->mutable_session());
                          });
                        }));
  strict(7, &S::SnapshotSession, v1::SnapshotSessionRequest(), v1::SnapshotSessionResponse());
  strict(8, &S::RestoreSession, v1::RestoreSessionRequest(), v1::RestoreSessionResponse());
  strict(9, &S::GetSnapshot, v1::GetSnapshotRequest(), v1::GetSnapshotResponse());
  strict(10, &S::ListSnapshots, v1::ListSnapshotsRequest(), v1::ListSnapshotsResponse());
  strict(11, &S::DeleteSnapshot, v1::DeleteSnapshotRequest(), v1::DeleteSnapshotResponse());
  strict(12, &S::RewindSession, v1::RewindSessionRequest(), v1::RewindSessionResponse());
}

grpc::ServerUnaryReactor* SessionService::Answer(grpc::CallbackServerContext& context, const char* method,
                                                 absl::Status checked, const Start& start) const {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();  // once: each call makes a new one
  const Finish finish = [reactor, record = CallRecord(context, method, serving_.metrics),
                         this](const absl::Status& status) {
    record.End(status);
    RecordNoSlot(status, serving_.metrics);
    reactor->Finish(ToGrpcStatus(status));
  };
  if (checked.ok() && serving_.model.config().task != Task::kCausalLm) {
    checked = MakeError({.reason = ErrorReason::kWrongTask}, "this model is a classifier: it has no sessions");
  }
  if (checked.ok()) checked = start(finish);
  if (!checked.ok()) finish(checked);
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::AnswerOnce(grpc::CallbackServerContext& context, const char* method,
                                                     const std::string& request_id,
                                                     const google::protobuf::Message& request,
                                                     google::protobuf::Message& response, absl::Status checked,
                                                     const Start& start) const {
  const absl::StatusOr<std::string> tenant = CallerTenant(context, serving_);
  if (checked.ok()) checked = tenant.status();
  if (checked.ok()) checked = CheckRequestId(request_id, serving_);
  if (!checked.ok() || request_id.empty()) return Answer(context, method, checked, start);
  absl::StatusOr<ReplayCache::Begun> begun = serving_.replays.Begin(KeyOf(*tenant, request_id), request);
  if (!begun.ok()) return Answer(context, method, begun.status(), start);
  if (const auto& answer = begun->answer; answer != nullptr) {
    if (!answer->messages.empty()) response.ParseFromString(answer->messages[0]);
    return Answer(context, method, answer->status,
                  [](const Finish& finish) { return finish(absl::OkStatus()), absl::OkStatus(); });
  }
  return Answer(context, method, absl::OkStatus(), [&](const Finish& finish) {
    const absl::Status status = start([recording = begun->recording, &response, finish](const absl::Status& ended) {
      if (ended.ok()) recording->Add(response);
      recording->End(ended);
      finish(ended);
    });
    if (!status.ok()) begun->recording->End(status);
    return status;
  });
}

grpc::ServerUnaryReactor* SessionService::CreateSession(grpc::CallbackServerContext* context,
                                                        const v1::CreateSessionRequest* request,
                                                        v1::CreateSessionResponse* response) {
  const std::string id = request->has_session_id() ? request->session_id() : DrawnId();
  const absl::StatusOr<std::string> key = CheckedKey(*context, serving_, CheckSessionId(id, "session_id"), id);
  return AnswerOnce(
      *context, "CreateSession", request->request_id(), *request, *response, key.status(), [&](const Finish& finish) {
        return serving_.engines.PostNew(*key, [=, this, key = *key](SessionTable& sessions, const auto& epochs) {
          if (!epochs.ok()) return finish(epochs.status()), epochs.status();
          const absl::StatusOr<Session*> session = sessions.Create(key, epochs->front());
          if (session.ok()) Fill(**session, *response->mutable_session());
          finish(session.status());
          return session.status();
        });
      });
}

grpc::ServerUnaryReactor* SessionService::GetSession(grpc::CallbackServerContext* context,
                                                     const v1::GetSessionRequest* request,
                                                     v1::GetSessionResponse* response) {
  const absl::StatusOr<std::string> key = CheckedSessionKey(*context, serving_, request->name());
  return Answer(*context, "GetSession", key.status(), [&](const Finish& finish) {
    return serving_.engines.PostFind(*key, [=, this](const absl::StatusOr<Session*>& session) {
      if (session.ok()) Fill(**session, *response->mutable_session());
      finish(session.status());
    });
  });
}

grpc::ServerUnaryReactor* SessionService::ListSessions(grpc::CallbackServerContext* context,
                                                       const v1::ListSessionsRequest* request,
                                                       v1::ListSessionsResponse* response) {
  const absl::StatusOr<std::string> tenant = CallerTenant(*context, serving_);
  const absl::Status checked = tenant.ok() ? CheckPage(*request) : tenant.status();
  return Answer(*context, "ListSessions", checked, [&](const Finish& finish) {
    const int64_t size = PageSize(*request);
    const auto found = std::make_shared<std::map<std::string, v1::Session>>();  // the first of each engine, by id
    return serving_.engines.PostEach(
        [=, this, after = request->page_token(), tenant = *tenant](SessionTable& sessions, bool last) {
          for (const Session* session : sessions.List(tenant, after, size + 1)) {
            Fill(*session, (*found)[SessionIdOf(session->key)]);
          }
          response->set_total_size(response->total_size() + sessions.Count(tenant));
          if (!last) return;
          response->set_next_page_token("");
          const bool more = static_cast<int64_t>(found->size()) > size;
          for (auto& [id, session] : *found) {
            if (response->sessions_size() == size) break;
            if (more) response->set_next_page_token(id);
            *response->add_sessions() = std::move(session);
          }
          finish(absl::OkStatus());
        });
  });
}

grpc::ServerUnaryReactor* SessionService::DeleteSession(grpc::CallbackServerContext* context,
                                                        const v1::DeleteSessionRequest* request,
                                                        v1::DeleteSessionResponse* response) {
  const absl::StatusOr<std::string> key = CheckedSessionKey(*context, serving_, request->name());
  return AnswerOnce(
      *context, "DeleteSession", request->request_id(), *request, *response, key.status(), [&](const Finish& finish) {
        return serving_.engines.PostAt(*key, [finish, key = *key](SessionTable& sessions) {
          const auto end = [finish, key, &sessions] {
            const absl::Status status = sessions.Delete(key, finish);
            if (!status.ok()) finish(status);
          };
          const absl::StatusOr<Session*> session = sessions.Find(key);
          if (session.ok() && (*session)->tier != Tier::kRegistry) return end();
          // One that lies in the registry may be another server's by now: it is this one's once it is here.
          sessions.Bring(key, [finish, end](const absl::Status& brought) { brought.ok() ? end() : finish(brought); });
        });
      });
}

grpc::ServerUnaryReactor* SessionService::ForkSession(grpc::CallbackServerContext* context,
                                                      const v1::ForkSessionRequest* request,
                                                      v1::ForkSessionResponse* response) {
  const absl::StatusOr<std::string> key = CheckedSessionKey(*context, serving_, request->name());
  const absl::Status checked = key.ok() ? CheckForkIds(*request) : key.status();
  return AnswerOnce(
      *context, "ForkSession", request->request_id(), *request, *response, checked, [&](const Finish& finish) {
        std::vector<std::string> children;
        for (const std::string& id : request->session_ids()) children.push_back(KeyOf(TenantOf(*key), id));
        return serving_.engines.PostForFork(
            *key, children,
            [=, this, key = *key, repeat = request->repeat_parent()](SessionTable& sessions,
                                                                     const absl::Status& brought) {
              if (!brought.ok()) return finish(brought);
              sessions.Reserve(children, [=, this, &sessions](const absl::StatusOr<std::vector<uint64_t>>& epochs) {
                if (!epochs.ok()) return finish(epochs.status()), epochs.status();
                const absl::StatusOr<std::vector<Session*>> made = sessions.Fork(key, children, repeat, *epochs);
                if (made.ok()) {
                  for (const Session* session : *made) Fill(*session, *response->add_sessions());
                  serving_.metrics.forks_total.Increment(static_cast<double>(made->size()));
                }
                finish(made.status());
                return made.status();
              });
            });
      });
}

grpc::ServerUnaryReactor* SessionService::RewindSession(grpc::CallbackServerContext* context,
                                                        const v1::RewindSessionRequest* request,
                                                        v1::RewindSessionResponse* response) {
  absl::StatusOr<Request> parsed = ParseRewind(*context, *request, serving_);
  return AnswerOnce(*context, "RewindSession", request->request_id(), *request, *response, parsed.status(),
                    [&](const Finish& finish) {
                      return RewindCall::Start(
                          *std::move(parsed), serving_, [=, this](const absl::StatusOr<RewindCall::Rewound>& rewound) {
                            if (!rewound.ok()) return finish(rewound.status());
                            response->set_replayed_tokens(rewound->replayed_tokens);
                            serving_.metrics.rewinds_total.Increment();
                            const std::string key = rewound->session;
                            const absl::Status posted = serving_.engines.PostAt(key, [=, this](SessionTable& sessions) {
                              if (const absl::StatusOr<Session*> session = sessions.Find(key); session.ok()) {
                                Fill(**session, *response->mutable_session());
                              }
                              finish(absl::OkStatus());  // it was put back, even if it is deleted by now
                            });
                            if (!posted.ok()) finish(absl::OkStatus());
                          });
                    });
}

void SessionService::Fill(const Session& session, v1::Session& to) const {
  const int64_t tokens = session.tokens();
  to.set_name(SessionName(SessionIdOf(session.key)));
  to.set_position(tokens);
  to.set_busy(session.busy());
  to.set_state_bytes(serving_.model.state_layout().bytes_per_session());
  to.set_model_fingerprint(serving_.fingerprint);
  FillTime(session.made, *to.mutable_create_time());
  FillTime(session.used, *to.mutable_use_time());
  to.set_tier(ToProto(session.tier));
  for (const Past::Mark& mark : session.past.Marks()) {
    v1::Mark& listed = *to.add_marks();
    listed.set_mark(mark.name);
    listed.set_position(mark.tokens);
  }
  to.set_rewind_position_min(session.past.LowestPosition(tokens, serving_.limits.rewind_tokens_max));
  to.set_turns(session.past.turns());
}

}  // namespace barista

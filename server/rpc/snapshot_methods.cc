// SessionService's methods for snapshots. The engine copies a session's state between two steps; bytes, encryption and
// the store are the background worker's.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "server/engine/store_error.h"
#include "server/rpc/page.h"
#include "server/rpc/session_name.h"
#include "server/rpc/session_service.h"
#include "server/rpc/tenant.h"
#include "server/text/utf8.h"
#include "server/words/drawn_id.h"

namespace barista {
namespace {

absl::Status CheckTags(const v1::SnapshotSessionRequest& request) {
  if (request.tags().size() > SessionLabel::kTagsMax) {
    return FieldError("tags", absl::StrCat(request.tags().size(), " entries, limit ", SessionLabel::kTagsMax));
  }
  for (const auto& [key, value] : request.tags()) {
    if (FirstInvalidUtf8(key) != std::string::npos || FirstInvalidUtf8(value) != std::string::npos) {
      return FieldError("tags", "a key or a value is not UTF-8");
    }
    if (key.empty() || key.size() > SessionLabel::kTagKeyBytesMax) {
      return FieldError("tags",
                        absl::StrCat("a key of ", key.size(), " bytes, range 1 to ", SessionLabel::kTagKeyBytesMax));
    }
    if (value.size() > SessionLabel::kTagValueBytesMax) {
      return FieldError("tags",
                        absl::StrCat("a value of ", value.size(), " bytes, limit ", SessionLabel::kTagValueBytesMax));
    }
  }
  return absl::OkStatus();
}

// A session as it was between two steps.
struct Taken {
  std::shared_ptr<const SessionCopy> copy;
  WallTime made;
  std::shared_ptr<DurablePast> past;
};

std::string NameOf(const std::string& key) { return SnapshotName(SessionIdOf(key)); }

absl::Status NoStore() {
  return MakeError({.reason = ErrorReason::kNoStore},
                   "the server keeps no snapshots: it was started without --state_dir and without --redis");
}

absl::Status NotFound(const std::string& key) {
  return MakeError({.reason = ErrorReason::kSnapshotNotFound}, absl::StrCat("there is no snapshot ", NameOf(key)));
}

absl::Status FromStore(const std::string& key, const absl::Status& status) {
  if (status.ok()) return status;
  if (absl::IsNotFound(status)) return NotFound(key);
  if (absl::IsAlreadyExists(status)) {
    return MakeError({.reason = ErrorReason::kSnapshotExists},
                     absl::StrCat("there is a snapshot ", NameOf(key), " already"));
  }
  return StoreError(NameOf(key), status);
}

void FillSnapshot(const std::string& key, const LabelledSession& session, const Serving& serving, v1::Snapshot& to) {
  to.set_name(NameOf(key));
  to.set_session(SessionName(session.label.session));
  to.set_position(session.copy.tokens());
  to.set_bytes(session.bytes);
  to.set_model_fingerprint(serving.fingerprint);
  for (const auto& [tag, value] : session.label.tags) (*to.mutable_tags())[tag] = value;
  FillTime(session.label.taken, *to.mutable_create_time());
}

// Of the background worker.
absl::StatusOr<LabelledSession> ReadSnapshot(const std::string& key, const Serving& serving, bool whole) {
  const size_t bytes_max = whole ? serving.format.bytes_max() + 1 : SessionFormat::kHeadBytesMax;
  const absl::StatusOr<std::string> bytes = serving.snapshots->Get(key, bytes_max);
  if (!bytes.ok()) return FromStore(key, bytes.status());
  absl::StatusOr<LabelledSession> read =
      whole ? serving.format.Read(*bytes, TenantOf(key)) : serving.format.ReadHead(*bytes, TenantOf(key));
  if (!read.ok()) return DamagedError(NameOf(key), read.status());
  return read;
}

}  // namespace

SessionService::Start SessionService::InStore(std::function<void(const Finish& finish)> work) const {
  return [this, work = std::move(work)](const Finish& finish) {
    if (serving_.snapshots == nullptr) return NoStore();
    serving_.background.Run([work, finish] { work(finish); });
    return absl::OkStatus();
  };
}

grpc::ServerUnaryReactor* SessionService::SnapshotSession(grpc::CallbackServerContext* context,
                                                          const v1::SnapshotSessionRequest* request,
                                                          v1::SnapshotSessionResponse* response) {
  const absl::StatusOr<std::string> key = CheckedSessionKey(*context, serving_, request->name());
  const std::string id = request->has_snapshot_id() ? request->snapshot_id() : DrawnId();
  absl::Status checked = key.status();
  if (checked.ok()) checked = CheckSessionId(id, "snapshot_id");
  if (checked.ok()) checked = CheckTags(*request);
  if (checked.ok() && serving_.snapshots == nullptr) checked = NoStore();
  const std::string snapshot = checked.ok() ? KeyOf(TenantOf(*key), id) : "";
  const std::map<std::string, std::string> tags(request->tags().begin(), request->tags().end());
  const auto keep = [=, this, replace = request->replace()](const std::string& session_key, const Taken& taken,
                                                            const Finish& finish) {
    const SessionLabel label = {TenantOf(session_key), SessionIdOf(session_key), taken.made,
                                std::chrono::system_clock::now(), tags};
    const std::string bytes = serving_.format.Write(*taken.copy, label);
    const absl::Status status = FromStore(snapshot, serving_.snapshots->Put(snapshot, bytes, replace));
    if (status.ok()) {
      taken.past->Add(serving_.kept_snapshots.Written(snapshot, taken.copy->tokens()));
      FillSnapshot(snapshot, {label, *taken.copy, static_cast<int64_t>(bytes.size())}, serving_,
                   *response->mutable_snapshot());
      serving_.metrics.snapshots_total.Increment();
    } else if (!absl::IsAlreadyExists(status)) {
      serving_.kept_snapshots.Gone(snapshot);  // the old bytes may be there or the new ones
    }
    finish(status);
  };
  // Only what reaches the store waits for it: the session is copied first.
  const auto take = [=, this](SessionTable& sessions, const absl::Status& brought, const Finish& finish) {
    if (!brought.ok()) return finish(brought);
    const absl::StatusOr<std::shared_ptr<const SessionCopy>> copy = sessions.Export(*key);
    if (!copy.ok()) return finish(copy.status());
    const Session& session = **sessions.Find(*key);
    const Taken taken = {*copy, session.made, session.durable};
    serving_.background.Run([keep, finish, key = *key, taken] { keep(key, taken, finish); });
  };
  return AnswerOnce(
      *context, "SnapshotSession", request->request_id(), *request, *response, checked, [&](const Finish& finish) {
        return serving_.engines.PostFor(
            *key, [take, finish](SessionTable& sessions, const auto& brought) { take(sessions, brought, finish); });
      });
}

grpc::ServerUnaryReactor* SessionService::RestoreSession(grpc::CallbackServerContext* context,
                                                         const v1::RestoreSessionRequest* request,
                                                         v1::RestoreSessionResponse* response) {
  const absl::StatusOr<std::string> snapshot = CheckedSnapshotKey(*context, serving_, request->snapshot(), "snapshot");
  const std::string id = request->has_session_id() ? request->session_id() : DrawnId();
  absl::Status checked = snapshot.status();
  if (checked.ok()) checked = CheckSessionId(id, "session_id");
  const std::string key = checked.ok() ? KeyOf(TenantOf(*snapshot), id) : "";
  const auto restore = [=, this, replace = request->replace()](const Finish& finish) {
    absl::StatusOr<LabelledSession> read = ReadSnapshot(*snapshot, serving_, true);
    if (!read.ok()) return finish(read.status());
    const auto copy = std::make_shared<const SessionCopy>(std::move(read->copy));
    const auto kept = serving_.kept_snapshots.Read(*snapshot, copy->tokens());
    const auto shown = [=, this](const absl::StatusOr<Session*>& session) {
      if (session.ok()) {
        (*session)->durable->Add(kept);
        Fill(**session, *response->mutable_session());
        response->set_prefill_tokens(0);
        serving_.metrics.restores_total.Increment();
      }
      finish(session.status());
      return session.status();
    };
    const auto import = [=](SessionTable& sessions, const absl::StatusOr<std::vector<uint64_t>>& epochs) {
      if (!epochs.ok()) return finish(epochs.status()), epochs.status();
      return shown(sessions.Import(key, copy, epochs->front()));
    };
    const auto put = [=](SessionTable& sessions, const absl::Status& brought) {
      if (absl::IsNotFound(brought)) {
        return sessions.Reserve({key}, [=, &sessions](const auto& epochs) { return import(sessions, epochs); });
      }
      if (!brought.ok()) return finish(brought);
      sessions.WhenStill(key, [=, &sessions](const absl::Status& still) {
        still.ok() ? static_cast<void>(shown(sessions.Replace(key, copy))) : finish(still);
      });
    };
    const absl::Status posted = replace ? serving_.engines.PostFor(key, put) : serving_.engines.PostNew(key, import);
    if (!posted.ok()) finish(posted);
  };
  return AnswerOnce(*context, "RestoreSession", request->request_id(), *request, *response, checked, InStore(restore));
}

grpc::ServerUnaryReactor* SessionService::GetSnapshot(grpc::CallbackServerContext* context,
                                                      const v1::GetSnapshotRequest* request,
                                                      v1::GetSnapshotResponse* response) {
  const absl::StatusOr<std::string> key = CheckedSnapshotKey(*context, serving_, request->name(), "name");
  return Answer(*context, "GetSnapshot", key.status(), InStore([this, key, response](const Finish& finish) {
    const absl::StatusOr<LabelledSession> read = ReadSnapshot(*key, serving_, false);
    if (read.ok()) FillSnapshot(*key, *read, serving_, *response->mutable_snapshot());
    finish(read.status());
  }));
}

grpc::ServerUnaryReactor* SessionService::ListSnapshots(grpc::CallbackServerContext* context,
                                                        const v1::ListSnapshotsRequest* request,
                                                        v1::ListSnapshotsResponse* response) {
  const absl::StatusOr<std::string> tenant = CallerTenant(*context, serving_);
  const absl::Status checked = tenant.ok() ? CheckPage(*request) : tenant.status();
  const auto work = [this, response, tenant, size = PageSize(*request),
                     after = request->page_token()](const Finish& finish) {
    absl::StatusOr<std::vector<std::string>> keys = serving_.snapshots->List();
    if (!keys.ok()) return finish(StoreError("snapshots", keys.status()));
    const auto other = [&](const std::string& key) { return TenantOf(key) != *tenant || !IsKey(key); };
    keys->erase(std::remove_if(keys->begin(), keys->end(), other), keys->end());
    response->set_total_size(keys->size());
    auto key = std::upper_bound(keys->begin(), keys->end(), KeyOf(*tenant, after));
    for (; key != keys->end() && response->snapshots_size() < size; ++key) {
      const absl::StatusOr<LabelledSession> read = ReadSnapshot(*key, serving_, false);
      if (DetailOf(read.status()).reason == ErrorReason::kSnapshotNotFound) continue;  // deleted meanwhile
      v1::Snapshot& listed = *response->add_snapshots();
      listed.set_name(NameOf(*key));  // all there is to say of one that is damaged or another model's
      if (read.ok()) FillSnapshot(*key, *read, serving_, listed);
    }
    if (key != keys->end()) response->set_next_page_token(SessionIdOf(*(key - 1)));
    finish(absl::OkStatus());
  };
  return Answer(*context, "ListSnapshots", checked, InStore(work));
}

grpc::ServerUnaryReactor* SessionService::DeleteSnapshot(grpc::CallbackServerContext* context,
                                                         const v1::DeleteSnapshotRequest* request,
                                                         v1::DeleteSnapshotResponse* response) {
  const absl::StatusOr<std::string> key = CheckedSnapshotKey(*context, serving_, request->name(), "name");
  const auto work = [this, key](const Finish& finish) {
    serving_.kept_snapshots.Gone(*key);
    finish(FromStore(*key, serving_.snapshots->Delete(*key)));
  };
  return AnswerOnce(*context, "DeleteSnapshot", request->request_id(), *request, *response, key.status(),
                    InStore(work));
}

}  // namespace barista

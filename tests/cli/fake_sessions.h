// SessionService of the client's fake server: answers with what the test put in, and keeps the last request of a kind.
#pragma once

#include <grpcpp/grpcpp.h>

#include <vector>

#include "barista/v1/session.grpc.pb.h"
#include "tests/cli/fake_calls.h"

namespace barista::cli {

class FakeSessions : public virtual FakeCalls, public v1::SessionService::Service {
 public:
  // What the calls answer.
  v1::CreateSessionResponse create_response;
  v1::GetSessionResponse get_response;
  std::vector<v1::ListSessionsResponse> pages;  // of ListSessions, the first for the first call
  v1::ForkSessionResponse fork_response;
  std::vector<v1::ExportSessionResponse> export_stream;
  v1::ImportSessionResponse import_response;
  v1::SnapshotSessionResponse snapshot_response;
  v1::RestoreSessionResponse restore_response;
  v1::GetSnapshotResponse get_snapshot_response;
  std::vector<v1::ListSnapshotsResponse> snapshot_pages;
  v1::RewindSessionResponse rewind_response;
  int busy_answers = 0;  // of GetSession, before it tells of a session that is not busy

  // What they were asked. Read after the call.
  v1::CreateSessionRequest create_request;
  v1::GetSessionRequest get_request;
  std::vector<v1::ListSessionsRequest> list_requests;
  v1::ForkSessionRequest fork_request;
  v1::DeleteSessionRequest delete_request;
  v1::ExportSessionRequest export_request;
  std::vector<v1::ImportSessionRequest> import_requests;
  v1::SnapshotSessionRequest snapshot_request;
  v1::RestoreSessionRequest restore_request;
  v1::GetSnapshotRequest get_snapshot_request;
  std::vector<v1::ListSnapshotsRequest> list_snapshots_requests;
  v1::DeleteSnapshotRequest delete_snapshot_request;
  v1::RewindSessionRequest rewind_request;

 private:
  using Context = grpc::ServerContext;

  grpc::Status CreateSession(Context*, const v1::CreateSessionRequest* request,
                             v1::CreateSessionResponse* response) override {
    return Answer(*request, create_request, create_response, *response);
  }
  grpc::Status GetSession(Context*, const v1::GetSessionRequest* request, v1::GetSessionResponse* response) override {
    Answer(*request, get_request, get_response, *response);
    if (busy_answers > 0 && busy_answers-- > 0) response->mutable_session()->set_busy(true);
    return status;
  }
  grpc::Status ListSessions(Context*, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    return AnswerPage(*request, list_requests, pages, *response);
  }
  grpc::Status DeleteSession(Context*, const v1::DeleteSessionRequest* request,
                             v1::DeleteSessionResponse* response) override {
    return Answer(*request, delete_request, {}, *response);
  }
  grpc::Status ForkSession(Context*, const v1::ForkSessionRequest* request,
                           v1::ForkSessionResponse* response) override {
    return Answer(*request, fork_request, fork_response, *response);
  }
  grpc::Status ExportSession(Context* context, const v1::ExportSessionRequest* request,
                             grpc::ServerWriter<v1::ExportSessionResponse>* writer) override {
    export_request = *request;
    for (const v1::ExportSessionResponse& piece : export_stream) writer->Write(piece);
    after_stream(*context);
    return status;
  }
  grpc::Status ImportSession(Context* context, grpc::ServerReader<v1::ImportSessionRequest>* reader,
                             v1::ImportSessionResponse* response) override {
    import_requests.clear();
    *response = import_response;
    return ReadAll(*context, *reader, import_requests);
  }
  grpc::Status SnapshotSession(Context*, const v1::SnapshotSessionRequest* request,
                               v1::SnapshotSessionResponse* response) override {
    return Answer(*request, snapshot_request, snapshot_response, *response);
  }
  grpc::Status RestoreSession(Context*, const v1::RestoreSessionRequest* request,
                              v1::RestoreSessionResponse* response) override {
    return Answer(*request, restore_request, restore_response, *response);
  }
  grpc::Status GetSnapshot(Context*, const v1::GetSnapshotRequest* request,
                           v1::GetSnapshotResponse* response) override {
    return Answer(*request, get_snapshot_request, get_snapshot_response, *response);
  }
  grpc::Status ListSnapshots(Context*, const v1::ListSnapshotsRequest* request,
                             v1::ListSnapshotsResponse* response) override {
    return AnswerPage(*request, list_snapshots_requests, snapshot_pages, *response);
  }
  grpc::Status DeleteSnapshot(Context*, const v1::DeleteSnapshotRequest* request,
                              v1::DeleteSnapshotResponse* response) override {
    return Answer(*request, delete_snapshot_request, {}, *response);
  }
  grpc::Status RewindSession(Context*, const v1::RewindSessionRequest* request,
                             v1::RewindSessionResponse* response) override {
    return Answer(*request, rewind_request, rewind_response, *response);
  }

  template <typename Request, typename Response>
  grpc::Status AnswerPage(const Request& request, std::vector<Request>& requests, const std::vector<Response>& answers,
                          Response& response) const {
    requests.push_back(request);
    if (requests.size() <= answers.size()) response = answers[requests.size() - 1];
    return status;
  }
};

}  // namespace barista::cli

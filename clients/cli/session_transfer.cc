#include "clients/cli/session_transfer.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "barista/v1/session.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/part_file.h"
#include "clients/cli/piece_reader.h"
#include "clients/cli/session_name.h"

namespace barista::cli {

int ExportToFile(const std::string& name, const std::string& file, const Options& options, Io& io, uint64_t& bytes) {
  const bool to_stdout = file == "-";
  PartFile part(file);
  absl::Status output = to_stdout ? absl::OkStatus() : part.Open();
  if (!output.ok()) return ReportInputError(output, options, io);
  v1::ExportSessionRequest request;
  request.set_name(SessionName(name));
  const auto stub = v1::SessionService::NewStub(Connect(options, request.name()));
  const int exit_code = RunCall(options, io, [&](grpc::ClientContext& context) {
    const auto reader = stub->ExportSession(&context, request);
    v1::ExportSessionResponse response;
    while (output.ok() && io.out && reader->Read(&response)) {
      bytes += response.data().size();
      if (to_stdout) {
        io.out << response.data();
      } else {
        output = part.Write(response.data());
      }
    }
    if (to_stdout) io.out.flush();
    const bool written = output.ok() && io.out;
    if (!written) context.TryCancel();
    const grpc::Status status = reader->Finish();
    return written ? status : grpc::Status::OK;  // not the call has failed then
  });
  if (exit_code != kOk) return exit_code;
  if (output.ok() && !to_stdout) output = part.Commit();
  return output.ok() ? kOk : ReportInputError(output, options, io);
}

int ImportFromFile(const std::string& file, const std::string& id, const Options& options, Io& io,
                   v1::Session& session) {
  absl::StatusOr<std::unique_ptr<PieceReader>> reader = PieceReader::Open(file, PieceReader::Cut::kAnywhere, io);
  if (!reader.ok()) return ReportInputError(reader.status(), options, io);
  absl::StatusOr<std::string> piece = (*reader)->Next();
  if (!piece.ok()) return ReportInputError(piece.status(), options, io);
  v1::ImportSessionRequest request;
  request.set_session_id(id);
  v1::ImportSessionResponse response;
  const auto stub = v1::SessionService::NewStub(Connect(options, SessionName(id)));
  const int exit_code = RunCall(options, io, [&](grpc::ClientContext& context) {
    const auto writer = stub->ImportSession(&context, &response);
    do {  // an empty file too, for the server to refuse
      request.set_data(*std::move(piece));
      if (!writer->Write(request)) break;
      request.clear_session_id();
      piece = (*reader)->Next();
    } while (piece.ok() && !piece->empty());
    if (!piece.ok()) {
      context.TryCancel();
      writer->Finish();
      return grpc::Status::OK;  // not the call has failed then
    }
    writer->WritesDone();
    return writer->Finish();
  });
  if (exit_code != kOk) return exit_code;
  if (!piece.ok()) return ReportInputError(piece.status(), options, io);
  session = std::move(*response.mutable_session());
  return kOk;
}

}  // namespace barista::cli

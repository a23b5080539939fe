#include "clients/cli/error_report.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "clients/cli/exit_code.h"
#include "google/rpc/code.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace barista::cli {
namespace {

void ReportSimple(absl::string_view code, absl::string_view message, bool json, Io& io) {
  if (json) {
    io.err << Dump({{"error", {{"code", std::string(code)}, {"message", std::string(message)}}}}) << "\n";
  } else {
    io.err << "barista: " << message << "\n";
  }
}

// The details of a status as the fields of the JSON error object; empty where there are none.
Json Details(const grpc::Status& status) {
  Json details = Json::object();
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return details;
  for (const google::protobuf::Any& any : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      details["reason"] = info.reason();
      for (const auto& [key, value] : info.metadata()) details["metadata"][key] = value;
    } else if (any.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        details["field_violations"].push_back({{"field", violation.field()}, {"description", violation.description()}});
      }
    } else if (any.UnpackTo(&retry)) {
      details["retry_delay_seconds"] =
          static_cast<double>(retry.retry_delay().seconds()) + 1e-9 * retry.retry_delay().nanos();
    }
  }
  return details;
}

std::string CodeName(grpc::StatusCode code) {
  const std::string& name = google::rpc::Code_Name(static_cast<google::rpc::Code>(code));
  return name.empty() ? absl::StrCat("CODE_", static_cast<int>(code)) : name;
}

}  // namespace

void ReportUsageError(absl::string_view message, bool json, Io& io) { ReportSimple("USAGE", message, json, io); }

int ReportInputError(const absl::Status& status, const Options& options, Io& io) {
  const bool is_usage = absl::IsInvalidArgument(status);
  ReportSimple(is_usage ? "USAGE" : "CLIENT", status.message(), options.json, io);
  return is_usage ? kUsage : kFailed;
}

int ReportCallError(const grpc::Status& status, const Json& fields, const Options& options, Io& io) {
  const Json details = Details(status);
  const std::string code = CodeName(status.error_code());
  // Without details the answer is gRPC's own, and the one thing that gRPC finds exhausted is the size of a message.
  const bool too_long = status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && details.empty();
  const int exit_code = too_long ? kRefused : ExitCodeOf(status.error_code());
  if (options.json) {
    Json error = {{"code", code}, {"message", status.error_message()}};
    error.update(details);
    error.update(fields);
    io.err << Dump({{"error", error}}) << "\n";
    return exit_code;
  }
  io.err << "barista: " << code << ": " << status.error_message() << "\n";
  if (details.contains("reason")) io.err << "  reason: " << details["reason"].get<std::string>() << "\n";
  if (details.contains("metadata") && details["metadata"].contains("durable_position")) {
    io.err << "  a snapshot has the session's first " << details["metadata"]["durable_position"].get<std::string>()
           << " tokens\n";
  }
  if (details.contains("field_violations")) {
    for (const auto& violation : details["field_violations"]) {
      if (violation["description"] == status.error_message()) continue;  // told already, with the field's name
      io.err << "  field " << violation["field"].get<std::string>() << ": "
             << violation["description"].get<std::string>() << "\n";
    }
  }
  if (details.contains("retry_delay_seconds")) {
    io.err << "  try again after " << details["retry_delay_seconds"].get<double>() << " s\n";
  }
  if (too_long) io.err << "  the input is too long for one message; barista describe shows message_bytes_max\n";
  // Without details: nobody who speaks this protocol was there.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && details.empty()) {
    io.err << "  is barista-server running at " << options.server << "? (--server=HOST:PORT or BARISTA_SERVER)\n";
    if (!options.security.tls) io.err << "  a server with TLS wants --tls or --tls_ca=FILE\n";
  }
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    io.err << "  the key comes from --api_key_file=FILE or BARISTA_API_KEY\n";
  }
  return exit_code;
}

grpc::Status StatusOf(const v1::ConverseFailed& failed) {
  google::rpc::Status rich;
  google::rpc::ErrorInfo info;
  info.set_reason(failed.reason());
  rich.add_details()->PackFrom(info);
  if (!failed.field().empty()) {
    google::rpc::BadRequest bad_request;
    auto* const violation = bad_request.add_field_violations();
    violation->set_field(failed.field());
    violation->set_description(failed.message());
    rich.add_details()->PackFrom(bad_request);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(failed.code()), failed.message(), rich.SerializeAsString());
}

}  // namespace barista::cli

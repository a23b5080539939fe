#include "server/rpc/unary_call.h"

#include "server/rpc/call_end.h"
#include "server/rpc/tenant.h"

namespace barista {

UnaryCall::UnaryCall(grpc::CallbackServerContext& context, const char* method, absl::StatusOr<Request> request,
                     const Serving& serving, std::function<void(const Request&, Event)> on_event)
    : record_(context, method, serving.metrics), on_event_(std::move(on_event)), pump_(serving, GivesUpAt(context)) {
  absl::Status status = request.status();
  if (status.ok()) status = BindTenant(context, serving, *request);
  if (status.ok()) status = pump_.Submit(*std::move(request), [this] { Pump(); });
  if (!status.ok()) End(status);
}

void UnaryCall::Pump() {
  absl::MutexLock lock(&mutex_);
  while (std::optional<Event> event = pump_.Next()) {
    const auto* finished = std::get_if<Finished>(&*event);
    const absl::Status status = finished == nullptr ? absl::OkStatus() : finished->status;
    const bool last = finished != nullptr;
    if (last) record_.Add(*finished);
    on_event_(pump_.request(), *std::move(event));
    if (last) return End(status);
  }
}

void UnaryCall::End(const absl::Status& status) {
  record_.End(status);
  Finish(ToGrpcStatus(status));
}

void UnaryCall::OnDone() {
  pump_.Detach();
  delete this;
}

}  // namespace barista

#include "server/rpc/call_record.h"

#include <chrono>

#include "absl/strings/ascii.h"
#include "server/engine/error.h"
#include "server/observe/log.h"
#include "server/rpc/call_end.h"
#include "server/rpc/status_map.h"
#include "server/rpc/trace_context.h"

namespace barista {

CallRecord::CallRecord(grpc::CallbackServerContext& context, const char* method, Metrics& metrics)
    : method_(method), metrics_(&metrics), begin_(std::chrono::steady_clock::now()) {
  const auto found = context.client_metadata().find("traceparent");
  if (found == context.client_metadata().end()) return;
  trace_id_ = TraceIdOf({found->second.data(), found->second.size()});
  if (!trace_id_.empty()) context.AddInitialMetadata("x-trace-id", trace_id_);
}

void CallRecord::Add(const Finished& finished) {
  in_engine_ = true;
  usage_.prompt_tokens += finished.usage.prompt_tokens;
  usage_.generated_tokens += finished.usage.generated_tokens;
  usage_.cached_tokens += finished.usage.cached_tokens;
  timings_.queue += finished.timings.queue;
  timings_.prefill += finished.timings.prefill;
  timings_.decode += finished.timings.decode;
}

void CallRecord::End(const absl::Status& status) const {
  RecordEnd(status, *metrics_);
  nlohmann::ordered_json line = {{"method", method_}, {"status", StatusLabel(status)}};
  if (!status.ok()) line["reason"] = absl::AsciiStrToLower(Name(DetailOf(status).reason));
  if (!trace_id_.empty()) line["trace_id"] = trace_id_;
  if (in_engine_) {
    line["prompt_tokens"] = usage_.prompt_tokens;
    line["generated_tokens"] = usage_.generated_tokens;
    line["cached_tokens"] = usage_.cached_tokens;
    line["queue_seconds"] = timings_.queue;
    line["prefill_seconds"] = timings_.prefill;
    line["decode_seconds"] = timings_.decode;
  }
  line["seconds"] = SecondsBetween(begin_, std::chrono::steady_clock::now());
  LogInfo("call", line);
}

}  // namespace barista

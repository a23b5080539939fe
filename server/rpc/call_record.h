// What is told of a call from the outside at its end: the counters, and one line of the log. The line holds nothing
// that a caller made up, but the id of the trace.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/status.h"
#include "server/engine/clock.h"
#include "server/engine/event.h"
#include "server/observe/metrics.h"

namespace barista {

// A value, made when the call comes in. Its functions may run on any thread, one at a time.
class CallRecord {
 public:
  // method: its name, a literal. Where the call brings a valid `traceparent`, the answer's initial metadata carries the
  // trace id as `x-trace-id`: a caller behind a proxy that traces learns what to look for in the log.
  CallRecord(grpc::CallbackServerContext& context, const char* method, Metrics& metrics);

  // A request of the call has ended in the engine; of several, tokens and seconds add up.
  void Add(const Finished& finished);
  // Counts and logs. Once, and last.
  void End(const absl::Status& status) const;

 private:
  const char* method_;
  Metrics* metrics_;
  std::string trace_id_;  // empty: none
  TimePoint begin_;
  bool in_engine_ = false;
  Usage usage_;
  Timings timings_;
};

}  // namespace barista

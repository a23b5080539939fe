// One RewindSession call: a call in the engine, for it may replay tokens.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "barista/v1/session.pb.h"
#include "server/rpc/event_pump.h"
#include "server/rpc/serving.h"

namespace barista {

// With the caller's tenant and deadline.
absl::StatusOr<Request> ParseRewind(const grpc::CallbackServerContext& context, const v1::RewindSessionRequest& message,
                                    const Serving& serving);

class RewindCall : public std::enable_shared_from_this<RewindCall> {
 public:
  struct Rewound {
    std::string session;  // its key
    int64_t replayed_tokens = 0;
  };
  using Done = std::function<void(const absl::StatusOr<Rewound>&)>;

  // `done` is called once, on the background worker, unless this returns an error.
  static absl::Status Start(Request request, const Serving& serving, Done done);

 private:
  RewindCall(const Serving& serving, Done done)
      : serving_(serving), done_(std::move(done)), pump_(serving, TimePoint::max()) {}
  void Pump();

  const Serving& serving_;
  const Done done_;
  EventPump pump_;
};

}  // namespace barista

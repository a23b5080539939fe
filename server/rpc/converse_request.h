// The caller's side of a Converse stream: each message becomes an action, in the order in which they come.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/status/statusor.h"
#include "barista/v1/inference.pb.h"
#include "server/engine/request.h"
#include "server/rpc/serving.h"

namespace barista {

struct ConverseAction {
  enum class Kind {
    kStart,
    kAppend,
    kGenerate,
    kInterrupt,
    kRefused,  // anything but a start that asks for what cannot be done
  };
  Kind kind;
  Request request;       // of an append or a generation; without a deadline
  v1::StopParams stop;   // of a generation: the rules in force
  absl::Status refused;  // why
  size_t bytes = 0;      // of the message
};

// Not thread safe; Serving outlives it.
class ConverseParser {
 public:
  explicit ConverseParser(const Serving& serving) : serving_(serving) {}

  // An error ends the stream: the first message is no valid start.
  absl::StatusOr<ConverseAction> Parse(const grpc::ByteBuffer& bytes);

  // Id of the session. Does not change after the first Parse.
  const std::string& session() const { return session_; }

 private:
  absl::StatusOr<ConverseAction> Start(const v1::ConverseStart& start);
  absl::StatusOr<Request> Append(v1::ConverseAppend& append) const;
  absl::StatusOr<Request> Generate(const v1::ConverseGenerate& generate);

  const Serving& serving_;
  std::string session_;
  v1::SamplingParams sampling_;
  v1::StopParams stop_;
};

// An error of a request as one of the action that it came of: with the field's path in ConverseRequest.
absl::Status InConverse(ConverseAction::Kind kind, const absl::Status& status);

}  // namespace barista

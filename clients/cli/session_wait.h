// A session after a call on it was cancelled: the server ends the call's step first, and only then its position stands.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <string>

#include "barista/v1/session.pb.h"

namespace barista::cli {

// The session as soon as no call runs on it, or after 5 s as it is then, busy. None where the server does not tell.
std::optional<v1::Session> WaitUntilIdle(const std::shared_ptr<grpc::Channel>& channel, const std::string& name);

}  // namespace barista::cli

// A sequence's state as encrypted bytes that the caller keeps: the bytes of session_bytes.h, sealed for the caller's
// tenant (store/sealer.h). Any thread; takes milliseconds for megabytes.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "barista/v1/inference.pb.h"
#include "server/engine/request.h"
#include "server/engine/sequence.h"
#include "server/rpc/serving.h"

namespace barista {

std::string SealState(const SessionCopy& copy, const std::string& tenant, const Serving& serving);
// Puts the request's start to message.sealed_state, where there is one. Errors: kSealedStateRefused, kModelMismatch,
// kPositionOutOfRange.
absl::Status OpenSealedState(const v1::GenerateRequest& message, const Serving& serving, Request& request);

}  // namespace barista

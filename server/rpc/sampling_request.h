// Sampling and stop parameters of a message: checked, defaults filled in.
#pragma once

#include "absl/status/statusor.h"
#include "barista/v1/sampling.pb.h"
#include "server/engine/request.h"
#include "server/rpc/serving.h"

namespace barista {

absl::StatusOr<SamplingParams> ParseSampling(const v1::SamplingParams& message, const Serving& serving);
absl::StatusOr<StopParams> ParseStop(const v1::StopParams& message, const Serving& serving);

}  // namespace barista

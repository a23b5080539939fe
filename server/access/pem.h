// Whether certificates and keys in PEM can be served, before gRPC gets them: it takes what it is given, and then every
// handshake fails.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace barista {

// The chain's first certificate is the server's, still valid, and `key` its private key, without a passphrase.
// InvalidArgument says what is wrong; never a part of the key.
absl::Status CheckCertificatePair(absl::string_view chain, absl::string_view key);

// One certificate or more, each readable.
absl::Status CheckCertificates(absl::string_view pem);

}  // namespace barista

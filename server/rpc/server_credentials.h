// How gRPC's port is reached: with TLS or without, and what every call must pass before a handler hears of it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "server/access/access.h"
#include "server/access/tls_files.h"
#include "server/observe/metrics.h"

namespace barista {

// `tls` null: plaintext. `access` null: nobody is asked for a key; else every call of every service, gRPC's own
// included, is held against the access table before its first message is read, and refused with a bare status. Without
// TLS, keys are asked for on loopback alone. All outlive the server.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles* tls, const Access* access,
                                                               Metrics& metrics);

}  // namespace barista

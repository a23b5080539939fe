// Encryption of bytes that leave the server's hands, AES-256-GCM: only who has the key can read them, make them, or
// alter them without notice. Thread safe.
//
//   offset  bytes  what
//   0       8      "BaristaE"
//   8       4      version, 1, little-endian
//   12      4      0
//   16      12     nonce, random
//   28      N      ciphertext, as long as the plain bytes
//   28 + N  16     tag
//
// The first 28 bytes and the identity (what the bytes are of: model, tenant, key of the store) are additional data:
// bytes sealed for one identity do not open for another. A key is good for 2^32 seals (NIST SP 800-38D, random nonces).
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

class Sealer {
 public:
  static constexpr size_t kOverheadBytes = 44;

  // The key: 64 hexadecimal digits, white space around them, in a regular file of at most 4096 bytes whose mode gives
  // group and others nothing. Errors: InvalidArgument naming the file and what is wrong, never the digits.
  static absl::StatusOr<Sealer> FromFile(const std::string& path);

  Sealer(const Sealer&) = default;
  Sealer& operator=(const Sealer&) = default;
  // The key does not stay in memory.
  ~Sealer();

  // The process ends where OpenSSL has no random bytes or `bytes` are more than GCM's 64 GiB.
  std::string Seal(absl::string_view bytes, absl::string_view identity) const;
  // Errors: PermissionDenied, always with the same words: which check failed is nobody's business.
  absl::StatusOr<std::string> Open(absl::string_view sealed, absl::string_view identity) const;

 private:
  Sealer() = default;

  std::array<unsigned char, 32> key_{};
};

}  // namespace barista

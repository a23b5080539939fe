#include "server/access/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

std::unique_ptr<BIO, decltype(&BIO_free)> Reader(absl::string_view bytes) {
  return {BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())), BIO_free};
}

// What OpenSSL says of the last failure. Clears its queue.
std::string LastError() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT: OpenSSL's type
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "unknown";
}

absl::StatusOr<std::vector<Certificate>> ReadCertificates(absl::string_view pem) {
  ERR_clear_error();
  std::vector<Certificate> certificates;
  const auto reader = Reader(pem);
  while (X509* one = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr))
    certificates.emplace_back(one, X509_free);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why = LastError();
  if (!at_end) return absl::InvalidArgumentError(absl::StrCat("a certificate cannot be read: ", why));
  if (certificates.empty()) return absl::InvalidArgumentError("no certificate in PEM");
  return certificates;
}

std::string TimeOf(const ASN1_TIME* time) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  ASN1_TIME_print(out.get(), time);
  char text[64];
  const int length = BIO_read(out.get(), text, sizeof(text));
  return std::string(text, length > 0 ? length : 0);
}

int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

absl::Status CheckCertificates(absl::string_view pem) { return ReadCertificates(pem).status(); }

absl::Status CheckCertificatePair(absl::string_view chain, absl::string_view key) {
  const absl::StatusOr<std::vector<Certificate>> certificates = ReadCertificates(chain);
  if (!certificates.ok()) return certificates.status();
  X509* own = certificates->front().get();
  if (X509_cmp_current_time(X509_get0_notAfter(own)) <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate has expired: it was valid until ", TimeOf(X509_get0_notAfter(own))));
  }
  const auto reader = Reader(key);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> private_key(
      PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassphrase, nullptr), EVP_PKEY_free);
  if (private_key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("no private key in PEM without a passphrase: ", LastError()));
  }
  // The very steps that gRPC will take, OpenSSL's rules on weak keys among them.
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  bool good = context != nullptr && SSL_CTX_use_certificate(context.get(), own) == 1;
  for (size_t i = 1; good && i < certificates->size(); ++i) {
    good = SSL_CTX_add1_chain_cert(context.get(), (*certificates)[i].get()) == 1;
  }
  if (!good) return absl::InvalidArgumentError(absl::StrCat("the certificate is refused: ", LastError()));
  if (SSL_CTX_use_PrivateKey(context.get(), private_key.get()) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the private key does not belong to the certificate: ", LastError()));
  }
  return absl::OkStatus();
}

}  // namespace barista

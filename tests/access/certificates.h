// Certificates for tests: self-signed, of a key of their own.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace barista {

struct CertificatePair {
  std::string chain, key;  // PEM
};

inline std::string Drained(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);  // NOLINT: OpenSSL's type
  std::string text(bytes, size);
  BIO_free(bio);
  return text;
}

// Valid from an hour ago until `seconds` from now. passphrase: of the key's PEM; null: none.
inline CertificatePair MakeCertificate(int seconds = 3600, const char* passphrase = nullptr) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), seconds);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  BIO* chain = BIO_new(BIO_s_mem());
  BIO* private_key = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(chain, certificate.get());
  PEM_write_bio_PrivateKey(private_key, key.get(), passphrase == nullptr ? nullptr : EVP_aes_128_cbc(), nullptr, 0,
                           nullptr, const_cast<char*>(passphrase));
  return {Drained(chain), Drained(private_key)};
}

}  // namespace barista

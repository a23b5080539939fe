#include "server/access/pem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/access/tls_files.h"
#include "tests/access/certificates.h"

namespace barista {
namespace {

using testing::HasSubstr;

std::string Wrong(const std::string& chain, const std::string& key) {
  return std::string(CheckCertificatePair(chain, key).message());
}

TEST(PemTest, APairThatBelongsTogetherIsGood) {
  const CertificatePair one = MakeCertificate(), other = MakeCertificate();
  EXPECT_EQ(Wrong(one.chain, one.key), "");
  EXPECT_EQ(Wrong(one.chain + other.chain, one.key), "");  // the first is the server's
  EXPECT_THAT(Wrong(other.chain + one.chain, one.key), HasSubstr("does not belong"));
  EXPECT_THAT(Wrong(one.chain, other.key), HasSubstr("does not belong"));
}

TEST(PemTest, WhatIsWrongIsSaidAndTheKeyIsNot) {
  const CertificatePair good = MakeCertificate();
  EXPECT_THAT(Wrong("", good.key), HasSubstr("no certificate"));
  EXPECT_THAT(Wrong(good.key, good.key), HasSubstr("no certificate"));
  EXPECT_THAT(Wrong(good.chain.substr(0, good.chain.size() / 2), good.key), HasSubstr("certificate"));
  for (size_t size : {size_t{0}, size_t{30}, good.key.size() / 2, good.key.size() - 20}) {
    EXPECT_THAT(Wrong(good.chain, good.key.substr(0, size)), HasSubstr("no private key")) << size;
  }
  EXPECT_THAT(Wrong(MakeCertificate(-60).chain, good.key), HasSubstr("expired"));
  const CertificatePair locked = MakeCertificate(3600, "secret");
  EXPECT_THAT(Wrong(locked.chain, locked.key), HasSubstr("passphrase"));
}

TEST(PemTest, OneBadCertificateAmongGoodOnesIsFound) {
  const std::string good = MakeCertificate().chain;
  EXPECT_TRUE(CheckCertificates(good + good).ok());
  std::string bad = good;
  bad[bad.size() / 2] = '!';
  EXPECT_FALSE(CheckCertificates(good + bad).ok());
}

std::string Bytes(const std::string& path) {
  std::string bytes(1 << 16, '\0');
  std::FILE* file = std::fopen(path.c_str(), "r");
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
  std::fclose(file);
  return bytes;
}

TEST(TlsFilesTest, ABadPairLeavesTheOldOne) {
  const CertificatePair first = MakeCertificate(), second = MakeCertificate();
  const auto files = TlsFiles::Open({first.chain, first.key});
  ASSERT_TRUE(files.ok()) << files.status();
  const std::string path = (*files)->identity_path();
  EXPECT_EQ(Bytes(path), first.chain + "\n" + first.key);
  EXPECT_THAT(std::string((*files)->Replace({second.chain, first.key}).message()), HasSubstr("tls_cert_file"));
  EXPECT_EQ(Bytes(path), first.chain + "\n" + first.key);
  EXPECT_TRUE((*files)->Replace({second.chain, second.key}).ok());
  EXPECT_EQ(Bytes(path), second.chain + "\n" + second.key);
  EXPECT_EQ((*files)->client_ca_path(), "");
}

TEST(TlsFilesTest, ClientCasArePartOfTheSet) {
  const CertificatePair pair = MakeCertificate();
  EXPECT_THAT(std::string(TlsFiles::Open({pair.chain, pair.key, "junk"}).status().message()),
              HasSubstr("tls_client_ca_file"));
  const auto files = TlsFiles::Open({pair.chain, pair.key, pair.chain});
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(Bytes((*files)->client_ca_path()), pair.chain);
}

}  // namespace
}  // namespace barista

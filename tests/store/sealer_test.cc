// Sealed bytes open for who has the key and names what they are of, and for nobody else.
#include "server/store/sealer.h"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "tests/support/temp_dir.h"

namespace barista {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kDigits[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1C1D1E1F";

class SealerTest : public testing::Test {
 protected:
  std::string KeyFile(const std::string& content, mode_t mode = 0600) {
    const std::string path = dir_.Write("key", content);
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  Sealer Make(const std::string& digits = kDigits) {
    const absl::StatusOr<Sealer> sealer = Sealer::FromFile(KeyFile(digits));
    EXPECT_TRUE(sealer.ok()) << sealer.status();
    return *sealer;
  }
  static std::string Random(size_t size) {
    std::mt19937 rng(size);
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(rng());
    return bytes;
  }

  TempDir dir_;
};

TEST_F(SealerTest, WhatIsSealedOpens) {
  const Sealer sealer = Make();
  for (const size_t size : {0u, 1u, 15u, 16u, 17u, 1u << 20, (1u << 20) + 1, (5u << 20) + 17}) {
    const std::string bytes = Random(size), sealed = sealer.Seal(bytes, "model/tenant/key");
    EXPECT_EQ(sealed.size(), size + Sealer::kOverheadBytes);
    const absl::StatusOr<std::string> opened = sealer.Open(sealed, "model/tenant/key");
    ASSERT_TRUE(opened.ok()) << size << ": " << opened.status();
    EXPECT_TRUE(*opened == bytes) << size;
  }
}

TEST_F(SealerTest, NoTwoSealsAreEqual) {
  const Sealer sealer = Make();
  EXPECT_NE(sealer.Seal("bytes", "id").substr(16), sealer.Seal("bytes", "id").substr(16));
}

TEST_F(SealerTest, EveryChangeIsRefusedWithTheSameWords) {
  const Sealer sealer = Make();
  const absl::Status refused = sealer.Open("", "id").status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  const std::string sealed = sealer.Seal(Random(100), "id");
  for (size_t at = 0; at < sealed.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = sealed;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      EXPECT_EQ(sealer.Open(changed, "id").status(), refused) << at;
    }
    EXPECT_EQ(sealer.Open(sealed.substr(0, at), "id").status(), refused) << at;
    EXPECT_EQ(sealer.Open(sealed.substr(at + 1), "id").status(), refused) << at;
  }
  EXPECT_EQ(sealer.Open(sealed + '\0', "id").status(), refused);
  EXPECT_TRUE(sealer.Open(sealed, "id").ok());

  const std::string large = sealer.Seal(Random(1 << 20), "id");
  for (size_t at = 0; at < large.size(); at += 50'021) {
    std::string changed = large;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_EQ(sealer.Open(changed, "id").status(), refused) << at;
  }
}

TEST_F(SealerTest, AnotherIdentityOrKeyIsRefused) {
  const Sealer sealer = Make();
  const std::string sealed = sealer.Seal("bytes", "model/tenant/key");
  for (const char* identity : {"", "model/tenant/ke", "model/tenant/key2", "Model/tenant/key"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(sealer.Open(sealed, identity).status())) << identity;
  }
  std::string digits = kDigits;
  digits.back() = 'E';
  EXPECT_EQ(Make(digits).Open(sealed, "model/tenant/key").status(), sealer.Open("", "").status());
  EXPECT_EQ(*Make().Open(sealed, "model/tenant/key"), "bytes");
}

// The layout is a promise to every other build: version 1 stays readable. OpenSSL alone makes the bytes here.
TEST_F(SealerTest, TheBytesLieWhereTheFormatSays) {
  const std::string key = absl::HexStringToBytes(kDigits), identity = "model/tenant/key", plain = Random(45);
  const std::string header("BaristaE\1\0\0\0\0\0\0\0nonce bytes!", 28);
  const auto bytes = [](const std::string& of) { return reinterpret_cast<const unsigned char*>(of.data()); };
  std::string ciphertext(plain.size(), '\0'), tag(16, '\0');
  auto* out = reinterpret_cast<unsigned char*>(ciphertext.data());
  int count = 0;
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, bytes(key), bytes(header) + 16);
  const std::string additional = header + identity;
  EVP_EncryptUpdate(context, nullptr, &count, bytes(additional), static_cast<int>(additional.size()));
  EVP_EncryptUpdate(context, out, &count, bytes(plain), static_cast<int>(plain.size()));
  EVP_EncryptFinal_ex(context, out + count, &count);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, tag.data());
  EVP_CIPHER_CTX_free(context);

  const absl::StatusOr<std::string> opened = Make().Open(header + ciphertext + tag, identity);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(*opened, plain);
  EXPECT_EQ(Make().Seal(plain, identity).substr(0, 16), header.substr(0, 16));
}

TEST_F(SealerTest, WhiteSpaceAroundTheKeyIsNotOfIt) {
  const std::string sealed = Make().Seal("bytes", "id");
  EXPECT_EQ(*Make(std::string(" \t\r\n") + kDigits + "\r\n\n").Open(sealed, "id"), "bytes");
  EXPECT_TRUE(Sealer::FromFile(KeyFile(kDigits + std::string(4096 - 64, '\n'), 0400)).ok());
}

TEST_F(SealerTest, RootMayLetAGroupRead) {
  const bool root = geteuid() == 0;  // else the file is not root's
  for (const mode_t mode : {0440, 0640}) EXPECT_EQ(Sealer::FromFile(KeyFile(kDigits, mode)).ok(), root) << mode;
  for (const mode_t mode : {0620, 0610, 0604, 0602, 0601, 0777}) {
    EXPECT_FALSE(Sealer::FromFile(KeyFile(kDigits, mode)).ok()) << mode;
  }
}

TEST_F(SealerTest, AWrongKeyFileIsRefusedAndItsDigitsAreNotTold) {
  const auto refusal = [](const std::string& path) {
    const absl::Status status = Sealer::FromFile(path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("the key file " + path + ": "));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("0c0d")));
    return std::string(status.message());
  };
  const std::string digits = kDigits;
  EXPECT_THAT(refusal(dir_.file("none")), HasSubstr("No such file or directory"));
  EXPECT_THAT(refusal(dir_.path()), HasSubstr("no regular file"));
  ASSERT_EQ(mkfifo(dir_.file("fifo").c_str(), 0600), 0);
  EXPECT_THAT(refusal(dir_.file("fifo")), HasSubstr("no regular file"));
  for (const mode_t mode : {0640, 0620, 0610, 0604, 0602, 0601, 0777}) {
    const std::string path = KeyFile(digits, mode);
    if (geteuid() == 0) {
      ASSERT_EQ(chown(path.c_str(), 1, 1), 0);  // root's own may be read by a group
    }
    EXPECT_THAT(refusal(path), HasSubstr("group or others")) << mode;
  }
  EXPECT_THAT(refusal(KeyFile("")), HasSubstr("has 0 characters; a key is 64 hexadecimal digits"));
  EXPECT_THAT(refusal(KeyFile(digits.substr(1))), HasSubstr("has 63 characters"));
  EXPECT_THAT(refusal(KeyFile(digits + "0")), HasSubstr("has 65 characters"));
  EXPECT_THAT(refusal(KeyFile("g" + digits.substr(1))), HasSubstr("character 1 is no hexadecimal digit"));
  EXPECT_THAT(refusal(KeyFile(digits.substr(0, 63) + "\xff")), HasSubstr("character 64 is no hexadecimal digit"));
  EXPECT_THAT(refusal(KeyFile(digits + std::string(4033, '\n'))), HasSubstr("more than 4096 bytes"));
}

}  // namespace
}  // namespace barista

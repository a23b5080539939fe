#include "server/store/sealer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/base/internal/raw_logging.h"
#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

constexpr absl::string_view kPrefix("BaristaE\1\0\0\0\0\0\0\0", 16);
constexpr size_t kNonceBytes = 12, kHeaderBytes = 28, kTagBytes = 16;
constexpr size_t kFileBytesMax = 4096;
constexpr size_t kPieceBytes = 1 << 20;  // OpenSSL counts in int

unsigned char* Bytes(char* at) { return reinterpret_cast<unsigned char*>(at); }
const unsigned char* Bytes(const char* at) { return reinterpret_cast<const unsigned char*>(at); }

// One message through AES-256-GCM, in one direction.
class Cipher {
 public:
  Cipher(const std::array<unsigned char, 32>& key, absl::string_view nonce, bool encrypt)
      : ok_(context_ != nullptr && EVP_CipherInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                                                     Bytes(nonce.data()), encrypt ? 1 : 0) == 1) {}

  // Additional data come before the bytes.
  void Authenticate(absl::string_view data) { Update(nullptr, data); }
  // As many bytes to `to`.
  void Transform(char* to, absl::string_view from) { Update(to, from); }
  // False: one of the calls failed, or the tag is another.
  bool FinishOpening(absl::string_view tag) {
    char* const due = const_cast<char*>(tag.data());  // only read
    ok_ = ok_ && EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, due) == 1;
    return Finish();
  }
  bool FinishSealing(char* tag) {
    return Finish() && EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag) == 1;
  }

 private:
  void Update(char* to, absl::string_view from) {
    while (ok_ && !from.empty()) {
      const absl::string_view piece = from.substr(0, kPieceBytes);
      const int size = static_cast<int>(piece.size());
      int written = 0;
      ok_ = EVP_CipherUpdate(context_.get(), Bytes(to), &written, Bytes(piece.data()), size) == 1;
      if (to != nullptr) to += piece.size();
      from.remove_prefix(piece.size());
    }
  }
  bool Finish() {
    unsigned char none[EVP_MAX_BLOCK_LENGTH];
    int count = 0;
    return ok_ && EVP_CipherFinal_ex(context_.get(), none, &count) == 1;
  }

  std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> context_{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  bool ok_;
};

// The value of a hexadecimal digit, or -1.
int HexValue(char digit) {
  const char lower = absl::ascii_tolower(digit);
  if (lower >= '0' && lower <= '9') return lower - '0';
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

absl::StatusOr<Sealer> Sealer::FromFile(const std::string& path) {
  const auto wrong = [&path](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat("the key file ", path, ": ", what...));
  };
  const auto failed = [&wrong](const char* what) { return wrong(absl::ErrnoToStatus(errno, what).message()); };
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return failed("cannot open it");
  const auto close_fd = absl::MakeCleanup([fd] { close(fd); });
  struct stat info;
  if (fstat(fd, &info) != 0) return failed("cannot stat it");
  if (!S_ISREG(info.st_mode)) return wrong("it is no regular file");
  // root may let a group read its file, as Kubernetes does with a Secret for a server that is not root.
  const bool of_root = info.st_uid == 0;
  if ((info.st_mode & (of_root ? 037 : 077)) != 0) {
    return wrong("its mode lets ", of_root ? "others in, or its group write" : "group or others in",
                 "; it must be 0600 or 0400, or 0440 and root's");
  }

  char content[kFileBytesMax + 1];
  size_t size = 0;
  const auto cleanse = absl::MakeCleanup([&content] { OPENSSL_cleanse(content, sizeof(content)); });
  while (size < sizeof(content)) {
    const ssize_t count = read(fd, content + size, sizeof(content) - size);
    if (count < 0 && errno != EINTR) return failed("cannot read it");
    if (count == 0) break;
    if (count > 0) size += count;
  }
  if (size > kFileBytesMax) return wrong("it has more than ", kFileBytesMax, " bytes");
  const absl::string_view digits = absl::StripAsciiWhitespace(absl::string_view(content, size));
  Sealer sealer;
  if (digits.size() != 2 * sealer.key_.size()) {
    return wrong("it has ", digits.size(), " characters; a key is ", 2 * sealer.key_.size(), " hexadecimal digits");
  }
  for (size_t i = 0; i < sealer.key_.size(); ++i) {
    const int high = HexValue(digits[2 * i]), low = HexValue(digits[2 * i + 1]);
    if (high < 0 || low < 0) return wrong("character ", 2 * i + (high < 0 ? 1 : 2), " is no hexadecimal digit");
    sealer.key_[i] = static_cast<unsigned char>(16 * high + low);
  }
  return sealer;
}

Sealer::~Sealer() { OPENSSL_cleanse(key_.data(), key_.size()); }

std::string Sealer::Seal(absl::string_view bytes, absl::string_view identity) const {
  std::string sealed(bytes.size() + kOverheadBytes, '\0');
  kPrefix.copy(sealed.data(), kPrefix.size());
  char* nonce = sealed.data() + kPrefix.size();
  ABSL_RAW_CHECK(RAND_bytes(Bytes(nonce), kNonceBytes) == 1, "no random bytes for a nonce");
  Cipher cipher(key_, absl::string_view(nonce, kNonceBytes), /*encrypt=*/true);
  cipher.Authenticate(absl::string_view(sealed).substr(0, kHeaderBytes));
  cipher.Authenticate(identity);
  cipher.Transform(sealed.data() + kHeaderBytes, bytes);
  ABSL_RAW_CHECK(cipher.FinishSealing(sealed.data() + kHeaderBytes + bytes.size()), "AES-256-GCM failed");
  return sealed;
}

absl::StatusOr<std::string> Sealer::Open(absl::string_view sealed, absl::string_view identity) const {
  const absl::Status refused =
      absl::PermissionDeniedError("the bytes are not sealed with this server's key for this use, or were altered");
  if (sealed.size() < kOverheadBytes || !absl::StartsWith(sealed, kPrefix)) return refused;
  const absl::string_view ciphertext = sealed.substr(kHeaderBytes, sealed.size() - kOverheadBytes);
  std::string bytes(ciphertext.size(), '\0');
  Cipher cipher(key_, sealed.substr(kPrefix.size(), kNonceBytes), /*encrypt=*/false);
  cipher.Authenticate(sealed.substr(0, kHeaderBytes));
  cipher.Authenticate(identity);
  cipher.Transform(bytes.data(), ciphertext);
  if (!cipher.FinishOpening(sealed.substr(sealed.size() - kTagBytes))) return refused;
  return bytes;
}

}  // namespace barista

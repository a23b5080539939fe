// The bytes of a session: what is written comes back, and nothing else is taken for one.
#include "server/engine/session_bytes.h"

#include <gmock/gmock.h>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

const std::string kFingerprint(64, 'a');
constexpr int64_t kVocab = 300;

class SessionBytesTest : public EngineTest {
 protected:
  void SetUp() override { Start(4); }

  SessionFormat Format(const std::string& fingerprint = kFingerprint) {
    return SessionFormat(m_.model->state_layout(), fingerprint, kVocab);
  }
  SessionCopy Sample() {
    SessionCopy copy = {.position = 1234567890123, .pending = 299, .decoded = {.pending = "\xe2\x82", .started = true}};
    copy.counts = {{.id = 7, .in_prompt = true, .in_output = 0}, {.id = 0, .in_prompt = false, .in_output = 90}};
    std::mt19937 rng(1);
    copy.state.resize(m_.model->state_layout().slot_bytes());
    for (char& byte : copy.state) byte = static_cast<char>(rng());
    return copy;
  }
  ErrorReason Refusal(absl::string_view bytes) {
    const absl::StatusOr<SessionCopy> read = Format().Read(bytes);
    EXPECT_FALSE(read.ok());
    return DetailOf(read.status()).reason;
  }
};

TEST_F(SessionBytesTest, WhatIsWrittenComesBack) {
  const SessionCopy copy = Sample();
  const std::string bytes = Format().Write(copy);
  EXPECT_LE(static_cast<int64_t>(bytes.size()), Format().bytes_max());
  const absl::StatusOr<SessionCopy> read = Format().Read(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->position, copy.position);
  EXPECT_EQ(read->pending, copy.pending);
  EXPECT_EQ(read->decoded.pending, copy.decoded.pending);
  EXPECT_TRUE(read->decoded.started);
  EXPECT_EQ(read->state, copy.state);
  ASSERT_EQ(read->counts.size(), 2u);
  EXPECT_EQ(read->counts[0].id, 7);
  EXPECT_TRUE(read->counts[0].in_prompt);
  EXPECT_EQ(read->counts[1].in_output, 90);
  EXPECT_EQ(Format().Write(*read), bytes);
}

// The header is a promise to every other build: version 1 stays readable.
TEST_F(SessionBytesTest, TheHeaderLiesWhereTheFormatSays) {
  const std::string bytes = Format().Write(Sample());
  EXPECT_EQ(bytes.substr(0, 16), std::string("BaristaS\1\0\0\0\0\0\0\0", 16));
  EXPECT_EQ(bytes.substr(16, 32), std::string(32, '\xaa'));
  EXPECT_EQ(bytes.substr(96, 8), std::string("\x2b\x01\0\0\x02\0\0\0", 8));
  EXPECT_EQ(bytes.substr(104, 8), std::string("\x01\x02\xe2\x82\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(112, 18), std::string("\x07\0\0\0\0\0\0\0\x01\0\0\0\0\x5a\0\0\0\0", 18));
}

TEST_F(SessionBytesTest, EveryChangedBitIsNoticed) {
  const std::string bytes = Format().Write(Sample());
  const bool full = std::getenv("BARISTA_FULL") != nullptr && std::string(std::getenv("BARISTA_FULL")) == "1";
  std::mt19937 rng(2);
  for (int i = 0; i < (full ? 100000 : 2000); ++i) {
    std::string changed = bytes;
    const size_t at = i < 8 * 130 ? i / 8 : rng() % bytes.size();
    changed[at] = static_cast<char>(changed[at] ^ (1 << (i < 8 * 130 ? i % 8 : rng() % 8)));
    const ErrorReason reason = Refusal(changed);
    EXPECT_TRUE(reason == ErrorReason::kSnapshotCorrupt || reason == ErrorReason::kModelMismatch) << at;
  }
}

TEST_F(SessionBytesTest, EveryOtherLengthIsRefused) {
  const std::string bytes = Format().Write(Sample());
  for (size_t size = 0; size < 200; ++size) EXPECT_EQ(Refusal(bytes.substr(0, size)), ErrorReason::kSnapshotCorrupt);
  for (const size_t less : {1u, 32u, 33u, 1000u}) {
    EXPECT_EQ(Refusal(bytes.substr(0, bytes.size() - less)), ErrorReason::kSnapshotCorrupt);
  }
  EXPECT_EQ(Refusal(bytes + "x"), ErrorReason::kSnapshotCorrupt);
  EXPECT_EQ(Refusal(std::string(bytes.size(), '\0')), ErrorReason::kSnapshotCorrupt);
}

TEST_F(SessionBytesTest, AnotherModelIsRefusedAsSuch) {
  EXPECT_EQ(Refusal(Format(std::string(64, 'b')).Write(Sample())), ErrorReason::kModelMismatch);
  const LoadedModel other = LoadedModel::Load("tests/golden/variants/macchiato-rglru", {.kind = "ref"},
                                              {.rows_max = 128, .logits_rows_max = 8}, 1);
  SessionCopy copy = Sample();
  copy.state.resize(other.model->state_layout().slot_bytes());
  const SessionFormat format(other.model->state_layout(), kFingerprint, kVocab);
  EXPECT_EQ(Refusal(format.Write(copy)), ErrorReason::kModelMismatch);
}

// Values that no checksum speaks against, because a stranger made it.
TEST_F(SessionBytesTest, ValuesOutOfRangeAreRefused) {
  const auto refused = [this](const auto& change) {
    SessionCopy copy = Sample();
    change(copy);
    return Refusal(Format().Write(copy)) == ErrorReason::kSnapshotCorrupt;
  };
  EXPECT_TRUE(refused([](SessionCopy& c) { c.position = -1; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.pending = kVocab; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.pending = -2; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].id = -5; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].id = kVocab; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].id = c.counts[1].id; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].in_output = -1; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts.resize(4097); }));
}

TEST_F(SessionBytesTest, AnImportedSessionGoesOnAsTheExportedOne) {
  SessionTable* table = nullptr;
  ASSERT_TRUE(engine_
                  ->Post([&](SessionTable& s) {
                    table = &s;
                    ASSERT_TRUE(s.Create("a").ok());
                  })
                  .ok());
  Steps(1);
  const auto run = [&](const std::string& session, std::vector<int32_t> prompt, int32_t tokens) {
    Request request = Generate(prompt, tokens);
    request.session = session;
    request.opening = prompt;
    request.sampling = {.temperature = 0.9f, .seed = 3};
    request.sampling.frequency_penalty = 0.5f;
    auto call = Submit(request);
    RunToIdle();
    return Drain(*call).tokens;
  };
  run("a", Prompt(90), 20);
  const SessionFormat format = SessionFormat(m_.model->state_layout(), kFingerprint, m_.model->config().vocab_size);
  const std::string bytes = format.Write(*table->Export("a"));
  ASSERT_TRUE(table->Import("b", *format.Read(bytes)).ok());
  EXPECT_EQ(DetailOf(table->Import("b", *format.Read(bytes)).status()).reason, ErrorReason::kSessionExists);
  EXPECT_EQ(run("b", {}, 30), run("a", {}, 30));
}

}  // namespace
}  // namespace barista

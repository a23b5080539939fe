// The bytes of a session: what is written comes back, and nothing else is taken for one.
#include "server/engine/session_bytes.h"

#include <gmock/gmock.h>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/full.h"

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
    SessionCopy copy = {.position = 1234567890123,
                        .pending = 299,
                        .draws = 0x0123456789abcdef,
                        .forks = 7,
                        .decoded = {.pending = "\xe2\x82", .started = true}};
    copy.counts = {{.id = 7, .in_prompt = true, .in_output = 0}, {.id = 0, .in_prompt = false, .in_output = 90}};
    std::mt19937 rng(1);
    std::string state(m_.model->state_layout().slot_bytes(), '\0');
    for (char& byte : state) byte = static_cast<char>(rng());
    copy.state = std::make_shared<const std::string>(std::move(state));
    return copy;
  }
  static SessionLabel Label() {
    return {.tenant = "acme",
            .session = "draft-1",
            .made = WallTime(std::chrono::milliseconds(1'700'000'000'123)),
            .taken = WallTime(std::chrono::milliseconds(1'800'000'000'456)),
            .tags = {{"kind", "test"}, {"note", ""}}};
  }
  ErrorReason Refusal(absl::string_view bytes, absl::string_view tenant = "acme") {
    const absl::StatusOr<LabelledSession> read = Format().Read(bytes, tenant);
    EXPECT_FALSE(read.ok());
    return DetailOf(read.status()).reason;
  }
};

TEST_F(SessionBytesTest, WhatIsWrittenComesBack) {
  const SessionCopy copy = Sample();
  const std::string bytes = Format().Write(copy, Label());
  EXPECT_LE(static_cast<int64_t>(bytes.size()), Format().bytes_max());
  const absl::StatusOr<LabelledSession> read = Format().Read(bytes, "acme");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(read->copy.position, copy.position);
  EXPECT_EQ(read->copy.pending, copy.pending);
  EXPECT_EQ(read->copy.draws, copy.draws);
  EXPECT_EQ(read->copy.forks, copy.forks);
  EXPECT_EQ(read->copy.decoded.pending, copy.decoded.pending);
  EXPECT_TRUE(read->copy.decoded.started);
  EXPECT_EQ(*read->copy.state, *copy.state);
  ASSERT_EQ(read->copy.counts.size(), 2u);
  EXPECT_EQ(read->copy.counts[0].id, 7);
  EXPECT_TRUE(read->copy.counts[0].in_prompt);
  EXPECT_EQ(read->copy.counts[1].in_output, 90);
  EXPECT_EQ(read->label.session, "draft-1");
  EXPECT_EQ(read->label.tags, Label().tags);
  EXPECT_EQ(Format().Write(read->copy, read->label), bytes);
}

TEST_F(SessionBytesTest, TheHeadIsReadAlone) {
  const std::string bytes = Format().Write(Sample(), Label());
  const absl::StatusOr<LabelledSession> head = Format().ReadHead(bytes.substr(0, 300), "acme");
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->copy.tokens(), Sample().position + 1);
  EXPECT_EQ(head->bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(head->label.made, Label().made);
  EXPECT_FALSE(Format().ReadHead(bytes.substr(0, 150), "acme").ok());
}

// The header is a promise to every other build: version 1 stays readable.
TEST_F(SessionBytesTest, TheHeaderLiesWhereTheFormatSays) {
  const std::string bytes = Format().Write(Sample(), Label());
  EXPECT_EQ(bytes.substr(0, 16), std::string("BaristaS\1\0\0\0\x33\0\0\0", 16));
  EXPECT_EQ(bytes.substr(16, 32), std::string(32, '\xaa'));
  EXPECT_EQ(bytes.substr(96, 8), std::string("\x2b\x01\0\0\x02\0\0\0", 8));
  EXPECT_EQ(bytes.substr(104, 12), std::string("\xef\xcd\xab\x89\x67\x45\x23\x01\x07\0\0\0", 12));
  EXPECT_EQ(bytes.substr(116, 12), std::string("\x01\x02\xe2\x82\0\0\0\0\0\0\0\0", 12));
  EXPECT_EQ(bytes.substr(128, 13), std::string("\x04"
                                               "acme\x07"
                                               "draft-1"));
  const size_t counts = 128 + 0x33 + 32;
  EXPECT_EQ(bytes.substr(counts, 18), std::string("\x07\0\0\0\0\0\0\0\x01\0\0\0\0\x5a\0\0\0\0", 18));
}

TEST_F(SessionBytesTest, EveryChangedBitIsNoticed) {
  const std::string bytes = Format().Write(Sample(), Label());
  const bool full = test::WantsWholeCounts();
  std::mt19937 rng(2);
  for (int i = 0; i < (full ? 100000 : 2000); ++i) {
    std::string changed = bytes;
    const size_t at = i < 8 * 230 ? i / 8 : rng() % bytes.size();
    changed[at] = static_cast<char>(changed[at] ^ (1 << (i < 8 * 230 ? i % 8 : rng() % 8)));
    const ErrorReason reason = Refusal(changed);
    EXPECT_TRUE(reason == ErrorReason::kSnapshotCorrupt || reason == ErrorReason::kModelMismatch) << at;
  }
}

TEST_F(SessionBytesTest, EveryOtherLengthIsRefused) {
  const std::string bytes = Format().Write(Sample(), Label());
  for (size_t size = 0; size < 300; ++size) EXPECT_EQ(Refusal(bytes.substr(0, size)), ErrorReason::kSnapshotCorrupt);
  for (const size_t less : {1u, 32u, 33u, 1000u}) {
    EXPECT_EQ(Refusal(bytes.substr(0, bytes.size() - less)), ErrorReason::kSnapshotCorrupt);
  }
  EXPECT_EQ(Refusal(bytes + "x"), ErrorReason::kSnapshotCorrupt);
  EXPECT_EQ(Refusal(std::string(bytes.size(), '\0')), ErrorReason::kSnapshotCorrupt);
}

TEST_F(SessionBytesTest, AnotherModelOrTenantIsRefusedAsSuch) {
  EXPECT_EQ(Refusal(Format(std::string(64, 'b')).Write(Sample(), Label())), ErrorReason::kModelMismatch);
  const LoadedModel other = LoadedModel::Load("tests/golden/variants/macchiato-rglru", {.kind = "ref"},
                                              {.rows_max = 128, .logits_rows_max = 8}, 1);
  SessionCopy copy = Sample();
  copy.state = std::make_shared<const std::string>(other.model->state_layout().slot_bytes(), '\0');
  const SessionFormat format(other.model->state_layout(), kFingerprint, kVocab);
  EXPECT_EQ(Refusal(format.Write(copy, Label())), ErrorReason::kModelMismatch);
  EXPECT_EQ(Refusal(Format().Write(Sample(), Label()), "other"), ErrorReason::kModelMismatch);
}

// Values that no checksum speaks against, because a stranger made it.
TEST_F(SessionBytesTest, ValuesOutOfRangeAreRefused) {
  const auto refused = [this](const auto& change) {
    SessionCopy copy = Sample();
    SessionLabel label = Label();
    if constexpr (std::is_invocable_v<decltype(change), SessionCopy&>) {
      change(copy);
    } else {
      change(label);
    }
    return Refusal(Format().Write(copy, label)) == ErrorReason::kSnapshotCorrupt;
  };
  EXPECT_TRUE(refused([](SessionCopy& c) { c.position = -1; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.pending = kVocab; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.pending = -2; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].id = -5; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].id = kVocab; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].id = c.counts[1].id; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts[0].in_output = -1; }));
  EXPECT_TRUE(refused([](SessionCopy& c) { c.counts.resize(4097); }));
  EXPECT_TRUE(refused([](SessionLabel& l) { l.session = std::string(65, 'x'); }));
  EXPECT_TRUE(refused([](SessionLabel& l) { l.made = WallTime(std::chrono::hours(-1)); }));
  EXPECT_TRUE(refused([](SessionLabel& l) { l.tags[""] = "x"; }));
  EXPECT_TRUE(refused([](SessionLabel& l) { l.tags["x"] = std::string(257, 'x'); }));
  EXPECT_TRUE(refused([](SessionLabel& l) {
    for (int i = 0; i < 17; ++i) l.tags[std::to_string(i)] = "";
  }));
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
  const std::string bytes = format.Write(**table->Export("a"), Label());
  const auto copy = std::make_shared<const SessionCopy>(format.Read(bytes, "acme")->copy);
  ASSERT_TRUE(table->Import("b", copy).ok());
  EXPECT_EQ(DetailOf(table->Import("b", copy).status()).reason, ErrorReason::kSessionExists);
  EXPECT_EQ(run("b", {}, 30), run("a", {}, 30));
}

}  // namespace
}  // namespace barista

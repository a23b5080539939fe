// A chain of rows in slots of their own leaves the same bits as that many decode steps: after every row the state, the
// logits, and after any of them taken as the sequence's new state, what follows. Every golden language model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "server/model/config.h"
#include "tests/support/case_name.h"
#include "tests/support/device_backend.h"
#include "tests/support/golden.h"
#include "tests/support/loaded_model.h"

namespace barista {
namespace {

struct Case {
  std::string directory;
  std::string name;
  BackendOptions backend;
  std::optional<DType> weights;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.directory << " on " << c.name; }

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const std::string& directory : GoldenDirectories()) {
    if (directory.find("cls") != std::string::npos) continue;
    cases.push_back({directory, "ref", {.kind = "ref"}, std::nullopt});
    cases.push_back({directory, "cpu", {.kind = "cpu", .threads = 2}, std::nullopt});
    cases.push_back({directory, "cpu_bf16", {.kind = "cpu", .threads = 1}, DType::kBF16});
    if (test::HasDevice()) {
      cases.push_back({directory, "cuda", {.kind = "cuda"}, std::nullopt});
      cases.push_back({directory, "cuda_bf16", {.kind = "cuda"}, DType::kBF16});
    }
    cases.push_back({directory, "portable", {.kind = "cpu", .threads = 1, .cpu_isa = "portable"}, std::nullopt});
  }
  return cases;
}

class ChainTest : public testing::TestWithParam<Case> {
 protected:
  static constexpr int32_t kDraft = 4, kPlain = 6, kOther = 7, kOtherPlain = 8;

  std::string Bytes(int32_t slot) const { return m_.pool->Download(slot); }
  std::vector<double> Logits(int32_t slot) { return m_.ReadRow(m_.model->Logits({slot}, *m_.pool), 0); }
  int32_t RandomToken() { return static_cast<int32_t>(random_() % m_.model->config().vocab_size); }
  void Decode(int32_t slot, int64_t position, int32_t token) {
    const Segment segment = {.slot = slot, .rows = 1, .position = position};
    m_.model->Forward({&segment, 1}, {token}, *m_.pool);
  }

  std::mt19937 random_{11};
  LoadedModel m_;
};

TEST_P(ChainTest, EveryRowIsADecodeStep) {
  m_ = LoadedModel::Load(GetParam().directory, test::MakeBackendUnderTest(GetParam().backend),
                         {.weights = {.dtype = GetParam().weights}, .rows_max = 128, .max_positions = 400}, 9);
  std::vector<int32_t> prompt(37);
  for (int32_t& token : prompt) token = RandomToken();
  for (const int32_t slot : {0, kPlain, kOther, kOtherPlain}) {
    m_.pool->Init(slot);
    const Segment read = {.slot = slot, .rows = 37, .position = 0, .prefill = true};
    m_.model->Forward({&read, 1}, prompt, *m_.pool);
  }
  // The slots of the chain, the sequence's first; and the tokens whose ring rows each may lack.
  struct Member {
    int32_t slot;
    int64_t stale_begin, stale_end;
  };
  int64_t position = 37;
  std::vector<Member> ring;
  for (int32_t slot = 0; slot <= kDraft; ++slot) {
    if (slot > 0) m_.pool->Copy(slot, 0);
    ring.push_back({slot, position, position});
  }
  const int steps = test::kDeviceIsSlow && GetParam().backend.kind == "cuda" ? 12 : 40;
  for (int step = 0; step < steps; ++step) {
    const int32_t drafted = static_cast<int32_t>(random_() % (kDraft + 1));
    const int32_t accepted = static_cast<int32_t>(random_() % (drafted + 1));
    // A prompt's piece before the chain and another sequence's step behind it: neighbours change nothing.
    std::vector<Segment> segments = {{.slot = 5, .rows = 3, .position = 0, .prefill = true}};
    std::vector<int32_t> tokens = {RandomToken(), RandomToken(), RandomToken()};
    m_.pool->Init(5);
    for (int32_t row = 0; row <= drafted; ++row) {
      Member& member = ring[row];
      segments.push_back(
          {.slot = member.slot, .row = 3 + row, .rows = 1, .position = position + row, .prefill = false});
      if (row > 0) {
        segments.back().from = ring[row - 1].slot;
        segments.back().stale_begin = member.stale_begin;
        segments.back().stale_end = std::max(member.stale_end, position + row);
        member.stale_begin = position + 1 + std::min(row, accepted);
        member.stale_end = position + row + 1;
      }
      tokens.push_back(RandomToken());
    }
    segments.push_back({.slot = kOther, .row = 4 + drafted, .rows = 1, .position = 37 + step});
    tokens.push_back(RandomToken());
    m_.model->Forward(segments, tokens, *m_.pool);

    for (int32_t row = 0; row <= accepted; ++row) {
      Decode(kPlain, position + row, tokens[3 + row]);
      ASSERT_EQ(Bytes(ring[row].slot), Bytes(kPlain)) << "step " << step << " row " << row << " of " << drafted;
      ASSERT_EQ(Logits(ring[row].slot), Logits(kPlain)) << "step " << step << " row " << row << " of " << drafted;
    }
    Decode(kOtherPlain, 37 + step, tokens.back());
    ASSERT_EQ(Bytes(kOther), Bytes(kOtherPlain)) << step;
    for (int32_t row = 0; row < accepted; ++row) {  // they lag behind the sequence, and hold nothing wrong
      ring[row].stale_begin = ring[row].stale_end = position + row + 1;
    }
    position += 1 + accepted;
    std::swap(ring[0], ring[accepted]);
    std::shuffle(ring.begin() + 1, ring.end(), random_);  // any of them may be next
  }
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return test::CaseName(
      absl::StrCat(info.param.directory.substr(std::string("tests/golden/").size()), "_", info.param.name));
}

INSTANTIATE_TEST_SUITE_P(All, ChainTest, testing::ValuesIn(Cases()), CaseName);

}  // namespace
}  // namespace barista

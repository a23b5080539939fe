// Prompts that begin like earlier ones: fewer tokens are computed, and not a bit is different.
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class PrefixTest : public EngineTest {
 protected:
  void Begin(int64_t bytes) {
    EngineOptions options;
    options.checkpoint_bytes = bytes;
    options.prefix_tokens_min = 64;
    Start(4, options);
  }
  struct Answer {
    int64_t cached;
    std::vector<std::vector<int32_t>> tokens;
    std::vector<float> logprobs;
    bool operator==(const Answer& other) const { return tokens == other.tokens && logprobs == other.logprobs; }
  };
  Answer Ask(const std::vector<int32_t>& prompt, const std::string& tenant = "", bool cache = true, int32_t n = 1) {
    Request request = Generate(prompt, 12);
    request.sampling = {.temperature = 0.8f, .seed = 11};
    request.sampling.repetition_penalty = 1.4f;
    request.logprobs = 0;
    request.tenant = tenant;
    request.cache = cache;
    request.n = n;
    auto call = Submit(std::move(request));
    RunToIdle();
    const Seen seen = Drain(*call);
    Answer answer = {seen.finished->usage.cached_tokens, seen.tokens, {}};
    for (const SampleResult& r : seen.logprobs) answer.logprobs.push_back(r.logprob);
    return answer;
  }
  static std::vector<int32_t> Joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
};

TEST_F(PrefixTest, AnAnswerFromAKeptStateHasTheBitsOfAColdOne) {
  Begin(int64_t{64} << 20);
  const std::vector<int32_t> first = Prompt(300, 1), longer = Joined(first, Prompt(200, 2));
  const Answer cold = Ask(longer, "", false);
  EXPECT_EQ(cold.cached, 0);
  EXPECT_EQ(Ask(first).cached, 0);
  const Answer warm = Ask(longer);
  EXPECT_EQ(warm.cached, 256);  // the last border of `first`
  EXPECT_TRUE(warm == cold);
  EXPECT_EQ(Ask(longer).cached, 448);
  EXPECT_TRUE(Ask(longer) == cold);
}

TEST_F(PrefixTest, AWholePromptThatIsKeptIsNotReadAgain) {
  Begin(int64_t{64} << 20);
  const std::vector<int32_t> prompt = Prompt(192, 1);
  const Answer cold = Ask(prompt, "", true, 3);
  const Answer warm = Ask(prompt, "", true, 3);
  EXPECT_EQ(warm.cached, 192);
  EXPECT_TRUE(warm == cold);
}

TEST_F(PrefixTest, TheStateIsKeptWherePromptsBranchOff) {
  Begin(int64_t{64} << 20);
  const std::vector<int32_t> system = Prompt(140, 1);
  EXPECT_EQ(Ask(Joined(system, Prompt(200, 2))).cached, 0);
  EXPECT_EQ(Ask(Joined(system, Prompt(200, 3))).cached, 0);  // sees that the first 128 tokens were there before
  EXPECT_EQ(Ask(Joined(system, Prompt(200, 4))).cached, 128);
}

TEST_F(PrefixTest, TenantsShareNothing) {
  Begin(int64_t{64} << 20);
  const std::vector<int32_t> prompt = Prompt(200, 1);
  Ask(prompt, "a");
  EXPECT_EQ(Ask(prompt, "b").cached, 0);
  EXPECT_EQ(Ask(prompt, "a").cached, 192);
}

TEST_F(PrefixTest, WhoWantsNoneReadsAndLeavesNone) {
  Begin(int64_t{64} << 20);
  const std::vector<int32_t> prompt = Prompt(200, 1);
  Ask(prompt, "", false);
  EXPECT_EQ(Ask(prompt).cached, 0);
  EXPECT_EQ(Ask(prompt, "", false).cached, 0);
  EXPECT_EQ(Ask(prompt).cached, 192);
}

TEST_F(PrefixTest, TheLongestUnusedStatesGiveWay) {
  Begin(0);
  Begin(3 * (m_.model->state_layout().slot_bytes() + 4096));
  for (int32_t seed = 1; seed <= 4; ++seed) Ask(Prompt(128, seed));
  EXPECT_EQ(Ask(Prompt(128, 1)).cached, 0);
  EXPECT_EQ(Ask(Prompt(128, 4)).cached, 128);
}

}  // namespace
}  // namespace barista

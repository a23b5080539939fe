// Speculation changes how many steps a call takes and nothing else: tokens, log-probabilities, ends and every byte of
// the state are those of plain decoding.
#include "server/engine/speculation.h"

#include <gtest/gtest.h>

#include <cctype>

#include "absl/strings/str_cat.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/case_name.h"

namespace barista {
namespace {

class SpeculationTest : public EngineTest {
 protected:
  template <class Work>
  void Post(Work work) {
    ASSERT_TRUE(engine_->Post([work](SessionTable& sessions) { work(sessions); }).ok());
    engine_->Step();
  }
  SessionCopy Export(const std::string& id) {
    SessionCopy copy;
    Post([&](SessionTable& s) { copy = **s.Export(id); });
    return copy;
  }
  static void ExpectEqual(const SessionCopy& got, const SessionCopy& want) {
    EXPECT_EQ(got.position, want.position);
    EXPECT_EQ(got.pending, want.pending);
    EXPECT_TRUE(*got.state == *want.state);
    ASSERT_EQ(got.counts.size(), want.counts.size());
    for (size_t i = 0; i < got.counts.size(); ++i) {
      EXPECT_EQ(got.counts[i].id, want.counts[i].id);
      EXPECT_EQ(got.counts[i].in_output, want.counts[i].in_output);
    }
  }
  static void ExpectEqual(const Seen& got, const Seen& want) {
    EXPECT_EQ(got.tokens, want.tokens);
    EXPECT_EQ(got.finish, want.finish);
    EXPECT_EQ(got.finished->usage.prompt_tokens, want.finished->usage.prompt_tokens);
    EXPECT_EQ(got.finished->usage.generated_tokens, want.finished->usage.generated_tokens);
    EXPECT_EQ(got.finished->session_tokens, want.finished->session_tokens);
    ASSERT_EQ(got.logprobs.size(), want.logprobs.size());
    for (size_t i = 0; i < got.logprobs.size() && want.tokens.size() == 1; ++i) {  // of n choices they interleave
      EXPECT_EQ(got.logprobs[i].logprob, want.logprobs[i].logprob) << i;
      for (size_t k = 0; k < want.logprobs[i].top.size(); ++k) {
        EXPECT_EQ(got.logprobs[i].top[k].id, want.logprobs[i].top[k].id);
        EXPECT_EQ(got.logprobs[i].top[k].logprob, want.logprobs[i].top[k].logprob);
      }
    }
  }

  // Draws from a handful of ids, so that drafts are right often and wrong often; `ids` of 1: always right.
  static Request Narrow(Request request, int32_t ids, uint64_t seed = 5) {
    request.sampling.temperature = 1;
    request.sampling.seed = seed;
    for (int32_t id = 10; id < 10 + ids; ++id) request.sampling.logit_bias.push_back({id, 200.0f});
    request.logprobs = 2;
    return request;
  }
  static Request Speculating(Request request, int32_t tokens) {
    request.speculation_tokens = tokens;
    return request;
  }
  Seen Run(const Request& request) {
    auto call = Submit(request);
    RunToIdle();
    return Drain(*call);
  }
};

TEST_F(SpeculationTest, ATextThatRepeatsItselfTakesAFractionOfTheSteps) {
  Start(8);
  const Request plain = Narrow(Generate({10, 10, 10, 10}, 41), 1);
  const Seen want = Run(plain);
  auto call = Submit(Speculating(plain, 4));
  int steps = 0;
  for (; !engine_->idle(); ++steps) engine_->Step();
  const Seen got = Drain(*call);
  ExpectEqual(got, want);
  EXPECT_EQ(steps, 9);  // the prompt with the first token, then five a step
  EXPECT_EQ(got.finished->usage.drafted_tokens, 32);
  EXPECT_EQ(got.finished->usage.accepted_tokens, 32);
  EXPECT_EQ(want.finished->usage.drafted_tokens, 0);
  EXPECT_EQ(used_slots(), 0);
}

struct Case {
  std::string directory, backend;
  int32_t tokens;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.directory << " " << c.backend << " " << c.tokens; }

class SpeculationCases : public SpeculationTest, public testing::WithParamInterface<Case> {
 protected:
  // Calls of every kind of sampling and end.
  static std::vector<Request> Requests() {
    std::vector<Request> requests;
    for (const int32_t ids : {1, 2, 3, 6}) {
      requests.push_back(Narrow(Generate(Short(9, ids), 60), ids, ids));
    }
    requests.push_back(Generate(Short(70, 3), 50));  // greedy
    Request penalised = Narrow(Generate(Short(80, 4), 50), 5);
    penalised.sampling.repetition_penalty = 1.3f;
    penalised.sampling.presence_penalty = 0.4f;
    penalised.sampling.frequency_penalty = 0.1f;
    requests.push_back(penalised);
    penalised.sampling.temperature = 0;
    requests.push_back(penalised);
    Request stopping = Narrow(Generate(Short(5, 7), 60), 3);
    stopping.stop.stop_token_ids = {11};
    stopping.stop.min_tokens = 17;
    requests.push_back(stopping);
    stopping.stop.min_tokens = 0;
    stopping.sampling.logit_bias[1].second = 196;  // comes late
    requests.push_back(stopping);
    Request several = Narrow(Generate(Short(20, 9), 30), 2);
    several.n = 3;
    requests.push_back(several);
    return requests;
  }
  // Ids that every vocabulary of the goldens has.
  static std::vector<int32_t> Short(int32_t count, int32_t seed) {
    std::vector<int32_t> prompt = Prompt(count, seed);
    for (int32_t& id : prompt) id %= 20;
    return prompt;
  }
};

TEST_P(SpeculationCases, CallsAreAnsweredAsWithoutIt) {
  Start(24, {}, GetParam().backend, GetParam().directory);
  const std::vector<Request> requests = Requests();
  std::vector<Seen> want;
  for (const Request& request : requests) want.push_back(Run(request));
  int64_t drafted = 0, accepted = 0;
  const auto compare = [&](const std::vector<std::shared_ptr<Call>>& calls) {
    for (size_t i = 0; i < calls.size(); ++i) {
      SCOPED_TRACE(absl::StrCat("request ", i));
      const Seen got = Drain(*calls[i]);
      ExpectEqual(got, want[i]);
      drafted += got.finished->usage.drafted_tokens;
      accepted += got.finished->usage.accepted_tokens;
    }
  };
  for (const Request& request : requests) {  // alone
    auto call = Submit(Speculating(request, GetParam().tokens));
    RunToIdle();
    const size_t i = &request - requests.data();
    SCOPED_TRACE(absl::StrCat("request ", i, " alone"));
    ExpectEqual(Drain(*call), want[i]);
  }
  std::vector<std::shared_ptr<Call>> calls;  // side by side, some of them plain; slots run out
  for (size_t i = 0; i < requests.size(); ++i) {
    calls.push_back(Submit(Speculating(requests[i], i % 4 == 3 ? 0 : GetParam().tokens)));
    Steps(static_cast<int>(i % 3));
  }
  RunToIdle();
  compare(calls);
  EXPECT_GT(accepted, 0);
  EXPECT_GT(drafted, accepted);
}

TEST_P(SpeculationCases, ASessionHasTheBytesOfPlainDecoding) {
  Start(12, {}, GetParam().backend, GetParam().directory);
  Post([](SessionTable& s) {
    ASSERT_TRUE(s.Create("plain").ok());
    ASSERT_TRUE(s.Create("speculating").ok());
  });
  for (const int32_t count : {40, 7, 25, 1, 60}) {
    Request request = Narrow(Generate(count % 5 == 0 ? Short(count, count) : std::vector<int32_t>{}, count), 3, count);
    request.sampling.frequency_penalty = 0.2f;
    request.session = "plain";
    request.opening = request.prompt;
    const Seen want = Run(request);
    request.session = "speculating";
    ExpectEqual(Run(Speculating(request, GetParam().tokens)), want);
    ExpectEqual(Export("speculating"), Export("plain"));
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const char* directory : {"variants/macchiato-rglru", "variants/latte-vapor", "extra/bf16-post-mixed",
                                "extra/sliding-conv-rglru", "extra/full-rope"}) {
    for (const char* backend : {"cpu", "ref"}) {
      for (const int32_t tokens : {1, 3, 8})
        cases.push_back({absl::StrCat("tests/golden/", directory), backend, tokens});
    }
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return test::CaseName(absl::StrCat(info.param.directory.substr(std::string("tests/golden/").size()), "_",
                                     info.param.backend, "_", info.param.tokens));
}

INSTANTIATE_TEST_SUITE_P(All, SpeculationCases, testing::ValuesIn(Cases()), CaseName);

TEST_F(SpeculationTest, BetweenAnyTwoStepsASessionCanBeForkedAndExported) {
  Start(64);
  Post([](SessionTable& s) { ASSERT_TRUE(s.Create("a").ok()); });
  Request request = Narrow(Generate(Prompt(30), 40), 2);
  const Seen want = Run(request);
  request.session = "a";
  request.opening = request.prompt;
  auto call = Submit(Speculating(request, 3));
  std::vector<int64_t> drawn;  // when each child was made
  while (!engine_->idle()) {
    Post([&](SessionTable& s) {
      const std::string child = absl::StrCat("child-", drawn.size());
      ASSERT_TRUE(s.Fork("a", {child}, true).ok());
      ExpectEqual(**s.Export(child), **s.Export("a"));
      drawn.push_back((*s.Find(child))->tokens() - 30);
    });
  }
  EXPECT_EQ(Drain(*call).tokens, want.tokens);
  EXPECT_LT(drawn.size(), 35u);
  for (size_t child = 1; child < drawn.size(); ++child) {  // the first was made before the prompt was read
    request.session = absl::StrCat("child-", child);
    request.prompt = request.opening = {};
    request.stop.max_tokens = static_cast<int32_t>(40 - drawn[child]);
    const Seen seen = Run(Speculating(request, child % 2 == 0 ? 2 : 0));
    EXPECT_EQ(seen.tokens[0], std::vector<int32_t>(want.tokens[0].begin() + drawn[child], want.tokens[0].end()));
  }
}

TEST_F(SpeculationTest, SlotsOnLoanAreNobodysSlots) {
  Start(3);
  const Request request = Narrow(Generate({10, 10, 10}, 60), 1);
  const Seen want = Run(request);
  auto first = Submit(Speculating(request, 8));
  Steps(4);
  EXPECT_EQ(used_slots(), 1);
  const Seen begun = Drain(*first);
  EXPECT_EQ(begun.tokens[0].size(), 1u + 3u * 3u);  // two free slots: three tokens a step
  // Two others come: both have a slot at once, and the first decodes plainly meanwhile.
  auto second = Submit(Narrow(Generate(Prompt(5), 6), 1));
  auto third = Submit(Narrow(Generate(Prompt(5), 6), 1));
  Steps(1);
  EXPECT_EQ(used_slots(), 3);
  EXPECT_EQ(Drain(*first).tokens[0].size(), 1u);
  EXPECT_EQ(Drain(*second).tokens[0].size(), 1u);
  EXPECT_EQ(Drain(*third).tokens[0].size(), 1u);
  RunToIdle();
  const Seen rest = Drain(*first);
  EXPECT_TRUE(rest.finished->status.ok());
  EXPECT_EQ(rest.tokens[0].size(), 60u - 10u - 1u);
  EXPECT_GT(rest.finished->usage.accepted_tokens, 25);
  EXPECT_EQ(used_slots(), 0);
  // A session can be made, too.
  auto again = Submit(Speculating(request, 8));
  Steps(3);
  Post([](SessionTable& s) {
    EXPECT_TRUE(s.Create("a").ok());
    EXPECT_TRUE(s.Create("b").ok());
  });
  RunToIdle();
  EXPECT_EQ(Drain(*again).tokens, want.tokens);
}

// Loans are taken back and lent again while drafts go on.
TEST_F(SpeculationTest, BitsDoNotDependOnWhichSlotsComeAndGo) {
  EngineOptions options;
  options.outbox_events_max = 1000;  // nobody reads meanwhile
  for (const uint64_t seed : {1, 2, 3, 4}) {
    Start(10, options);
    const std::vector<std::string> names = {"a", "b"};
    std::vector<Request> requests;
    for (const std::string& name : names) {
      Post([&](SessionTable& s) {
        ASSERT_TRUE(s.Create(name).ok());
        ASSERT_TRUE(s.Create("plain-" + name).ok());
      });
      requests.push_back(Narrow(Generate(Prompt(9), 300), 2, seed + requests.size()));
      requests.back().session = "plain-" + name;
      requests.back().opening = requests.back().prompt;
    }
    std::vector<Seen> want;
    for (const Request& request : requests) want.push_back(Run(request));
    std::vector<std::shared_ptr<Call>> calls;
    for (size_t i = 0; i < names.size(); ++i) {
      requests[i].session = names[i];
      calls.push_back(Submit(Speculating(requests[i], 8)));
    }
    std::mt19937 random(static_cast<uint32_t>(seed));
    for (int others = 0; others < 100; ++others) {
      Submit(Generate(Prompt(3), 1 + static_cast<int32_t>(random() % 5)));
      Steps(static_cast<int>(random() % 3));
    }
    RunToIdle();
    for (size_t i = 0; i < names.size(); ++i) {
      ExpectEqual(Drain(*calls[i]), want[i]);
      ExpectEqual(Export(names[i]), Export("plain-" + names[i]));
    }
  }
}

TEST_F(SpeculationTest, ACancelledCallLeavesTheSessionWherePlainDecodingHadIt) {
  Start(8);
  for (const int steps : {1, 2, 3, 5, 9}) {
    Post([](SessionTable& s) {
      ASSERT_TRUE(s.Create("cut").ok());
      ASSERT_TRUE(s.Create("plain").ok());
    });
    Request request = Narrow(Generate(Prompt(12), 60), 2, steps);
    request.session = "cut";
    request.opening = request.prompt;
    auto call = Submit(Speculating(request, 4));
    Steps(steps);
    call->Cancel();
    RunToIdle();
    const Seen cut = Drain(*call);
    EXPECT_EQ(cut.finished->status.code(), absl::StatusCode::kCancelled);
    request.session = "plain";
    request.stop.max_tokens = static_cast<int32_t>(cut.tokens[0].size());
    const Seen want = Run(request);
    EXPECT_EQ(cut.tokens, want.tokens);
    ExpectEqual(Export("cut"), Export("plain"));
    EXPECT_EQ(used_slots(), 2);
    Post([](SessionTable& s) {
      ASSERT_TRUE(s.Delete("cut").ok());
      ASSERT_TRUE(s.Delete("plain").ok());
    });
  }
}

TEST_F(SpeculationTest, ASlowReaderStillBoundsTheOutbox) {
  EngineOptions options;
  options.outbox_events_max = 12;
  Start(8, options);
  const Request request = Narrow(Generate({10, 10, 10}, 60), 1);
  auto call = Submit(Speculating(request, 5));
  std::vector<int32_t> tokens;
  for (int i = 0; i < 100 && !engine_->idle(); ++i) {
    Steps(10);  // more than the outbox holds
    const Seen seen = Drain(*call);
    ASSERT_FALSE(seen.tokens.empty());
    EXPECT_LE(seen.tokens[0].size(), 12u);
    tokens.insert(tokens.end(), seen.tokens[0].begin(), seen.tokens[0].end());
  }
  EXPECT_EQ(tokens, std::vector<int32_t>(60, 10));
}

TEST_F(SpeculationTest, NothingIsDraftedBeyondTheLastToken) {
  Start(12);
  const Request request = Narrow(Generate({10, 10, 10}, 3), 1);
  const Seen seen = Run(Speculating(request, 8));
  ExpectEqual(seen, Run(request));
  EXPECT_EQ(seen.finished->usage.drafted_tokens, 1);  // after the prompt's token, one and the last
}

}  // namespace
}  // namespace barista

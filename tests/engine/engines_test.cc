// Several engines are one server: who asks cannot tell where a session lies, and slots that are free are used.
#include "server/engine/engines.h"

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"
#include "tests/engine/engines_fixture.h"

namespace barista {
namespace {

ErrorReason ReasonOf(const absl::Status& status) { return DetailOf(status).reason; }

TEST_F(EnginesTest, NewSessionsGoWhereSlotsAreFree) {
  StartSeveral({4, 8});
  std::vector<absl::Status> made(12);
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Ask(absl::StrCat("a@", i), made[i]).ok());  // before any engine looks
  StepAll(2);
  for (const absl::Status& status : made) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(group_->homes.sessions(0), 4);
  EXPECT_EQ(group_->homes.sessions(1), 8);
  EXPECT_EQ(used_slots(), 12);
  EXPECT_EQ(metrics_.sessions_max.Value(), 12);
  EXPECT_EQ(engines_->sessions_max(), 12);
  EXPECT_EQ(engines_->sessions(), 12);
  EXPECT_EQ(ReasonOf(Create("a@more")), ErrorReason::kSessionsMax);
}

TEST_F(EnginesTest, CallsWithoutASessionAreSpread) {
  StartSeveral({4, 4});
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(Send(Generate(Prompt(9, i), 6)));
  StepAll(2);
  EXPECT_EQ(owned_[0]->vacancy().streams, 4);
  EXPECT_EQ(owned_[1]->vacancy().streams, 4);
  EXPECT_EQ(metrics_.num_requests_running.Value(), 8);
  EXPECT_EQ(metrics_.num_requests_waiting.Value(), 0);
  RunAllToIdle();
  for (const auto& call : calls) EXPECT_TRUE(Drain(*call).finished->status.ok());
  Request wide = Generate(Prompt(3), 2);
  wide.n = 5;
  EXPECT_EQ(ReasonOf(engines_->Submit(wide, [] {}).status()), ErrorReason::kSessionsMax);
}

TEST_F(EnginesTest, WhatComesForANameMeetsBeforeItExists) {
  StartSeveral({2, 2, 2});
  for (int i = 0; i < 6; ++i) {
    const std::string key = absl::StrCat("a@", i);
    absl::Status first = absl::UnknownError(""), second = first, found = first;
    ASSERT_TRUE(Ask(key, first).ok());
    ASSERT_TRUE(Ask(key, second).ok());
    ASSERT_TRUE(engines_->PostFind(key, [&](const auto& session) { found = session.status(); }).ok());
    StepAll(2);
    EXPECT_TRUE(first.ok()) << first;
    EXPECT_EQ(ReasonOf(second), ErrorReason::kSessionExists);
    EXPECT_TRUE(found.ok()) << found;
  }
  EXPECT_EQ(ReasonOf(Say("a@none", Prompt(3), 2).finished->status), ErrorReason::kSessionNotFound);
  EXPECT_EQ(Home("a@none"), -1);  // a name that nobody holds is forgotten
}

TEST_F(EnginesTest, ACallThatWaitsGoesToASlotThatComesFree) {
  StartSeveral({1, 1});
  auto a = Send(Generate(Prompt(3, 1), 50)), b = Send(Generate(Prompt(3, 2), 5));
  StepAll(2);
  auto c = Send(Generate(Prompt(3, 3), 4)), d = Send(Generate(Prompt(3, 4), 4));
  EXPECT_EQ(metrics_.num_requests_waiting.Value(), 2);
  StepAll(20);  // `a` still runs, and one of the two waited behind it
  EXPECT_TRUE(Drain(*b).finished);
  EXPECT_TRUE(Drain(*c).finished);
  EXPECT_TRUE(Drain(*d).finished);
  EXPECT_FALSE(Drain(*a).finished);
  EXPECT_EQ(metrics_.num_requests_waiting.Value(), 0);
  RunAllToIdle();
}

TEST_F(EnginesTest, ACallIsRefusedWhereNoEngineWillHaveItsSlots) {
  StartSeveral({2, 4});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());  // 1 and 3, which stay in their slots
  ASSERT_EQ(group_->homes.sessions(0), 1);
  Request two = Generate(Prompt(3), 4);
  two.n = 2;
  auto hopeless = Send(two);
  StepAll(3);
  EXPECT_EQ(ReasonOf(Drain(*hopeless).finished->status), ErrorReason::kSessionsMax);
  absl::Status deleted = absl::UnknownError("");
  auto one = Send(Generate(Prompt(3), 30));
  StepAll(2);
  auto other = Send(Generate(Prompt(3), 30));
  StepAll(2);
  for (const int engine : {0, 1}) EXPECT_EQ(owned_[engine]->vacancy().streams, 1);
  std::string there;
  for (int i = 0; i < 4; ++i) there = Home(absl::StrCat("a@", i)) == 1 ? absl::StrCat("a@", i) : there;
  ASSERT_TRUE(engines_->PostAt(there, [&](SessionTable& s) { deleted = s.Delete(there); }).ok());
  StepAll(2);
  EXPECT_TRUE(deleted.ok());
  auto waits = Send(two);  // for the second engine's
  StepAll(3);
  EXPECT_FALSE(Drain(*waits).finished);
  EXPECT_EQ(owned_[1]->vacancy().streams, 3);
  RunAllToIdle();
  EXPECT_TRUE(Drain(*waits).finished->status.ok());
  EXPECT_TRUE(Drain(*one).finished->status.ok());
  EXPECT_TRUE(Drain(*other).finished->status.ok());
}

TEST_F(EnginesTest, ASessionWithoutASlotGoesToOneThatIsFreeWithAllItsPast) {
  EngineOptions options;
  options.checkpoint_bytes = int64_t{16} << 20;
  options.outbox_events_max = 4096;
  options.tiers.host_sessions = 4;
  StartSeveral({1, 1}, options);
  ASSERT_TRUE(Create("a@x").ok());
  ASSERT_TRUE(Say("a@x", Prompt(300), 40).finished->status.ok());
  Request mark = Saying("a@x", {}, 10);
  mark.mark = "here";
  auto marked = Send(mark);
  RunAllToIdle();
  ASSERT_TRUE(Drain(*marked).finished->status.ok());
  const std::string here = Bytes("a@x");
  ASSERT_TRUE(Say("a@x", Prompt(7), 9).finished->status.ok());
  const std::string end = Bytes("a@x");

  ASSERT_EQ(Home("a@x"), 0);
  auto one = Send(Generate(Prompt(3, 1), 1000));  // takes the free slot
  StepAll(2);
  auto two = Send(Generate(Prompt(3, 2), 1000));  // takes the session's, which goes to the host's memory
  StepAll(20);
  EXPECT_EQ(metrics_.sessions("host").Value(), 1);
  one->Cancel();
  StepAll(2);
  auto call = Send(Saying("a@x", Prompt(5), 3));
  StepAll(20);
  EXPECT_TRUE(Drain(*call).finished->status.ok());
  EXPECT_EQ(Home("a@x"), 1);
  EXPECT_EQ(metrics_.session_moves_total.Value(), 1);
  EXPECT_EQ(group_->homes.sessions(0), 0);
  EXPECT_EQ(group_->homes.sessions(1), 1);
  two->Cancel();
  RunAllToIdle();

  // What was kept for rewinds has come along.
  const auto rewind = [&](const RewindTarget& to) {
    Request request;
    request.kind = RequestKind::kRewind;
    request.session = "a@x";
    request.rewind = to;
    auto going_back = Send(request);
    RunAllToIdle();
    return Drain(*going_back).finished->status;
  };
  ASSERT_TRUE(rewind({.turns = 1}).ok());
  EXPECT_EQ(Bytes("a@x"), end);
  ASSERT_TRUE(rewind({.mark = "here"}).ok());
  EXPECT_EQ(Bytes("a@x"), here);
}

TEST_F(EnginesTest, LimitsOfTenantsAreTheServers) {
  StartSeveral({4, 4});
  TenantPolicy policy;
  policy.named["a"] = {.sessions_max = 3, .streams_max = 2, .tokens_per_second = 10};
  engines_->SetTenants(policy);
  StepAll();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());
  EXPECT_GT(group_->homes.sessions(0) * group_->homes.sessions(1), 0);
  const absl::Status fourth = Create("a@3");
  EXPECT_EQ(ReasonOf(fourth), ErrorReason::kTenantLimit);
  EXPECT_NE(fourth.message().find("sessions_max of tenant a is 3: it has 3"), std::string::npos) << fourth;

  Request request = Generate(Prompt(1), 100);
  request.tenant = "a";
  auto one = Send(request), two = Send(request);
  EXPECT_EQ(ReasonOf(engines_->Submit(request, [] {}).status()), ErrorReason::kTenantLimit);
  size_t tokens = 0;
  for (int i = 0; i < 200; ++i) {  // 4 seconds
    StepAll();
    clock_.Advance(Seconds(0.02));
    for (const auto& call : {one, two}) {
      const Seen seen = Drain(*call);
      tokens += seen.tokens.empty() ? 0 : seen.tokens[0].size();
    }
  }
  EXPECT_NEAR(static_cast<double>(tokens), 10 + 4 * 10, 4);  // a second's worth is saved up
  one->Cancel();
  two->Cancel();
  RunAllToIdle();
  absl::Status deleted = absl::UnknownError("");
  ASSERT_TRUE(engines_->PostAt("a@1", [&](SessionTable& s) { deleted = s.Delete("a@1"); }).ok());
  StepAll(2);
  EXPECT_TRUE(deleted.ok());
  EXPECT_TRUE(Create("a@3").ok());
}

TEST_F(EnginesTest, AForksChildrenAreWhereItIs) {
  StartSeveral({8, 8});
  ASSERT_TRUE(Create("a@x").ok());
  ASSERT_TRUE(Create("a@other").ok());
  ASSERT_NE(Home("a@x"), Home("a@other"));
  ASSERT_TRUE(Say("a@x", Prompt(50), 5).finished->status.ok());
  const auto fork = [&](const std::vector<std::string>& children) {
    absl::Status forked = absl::UnknownError("not answered");
    const absl::Status posted =
        engines_->PostForFork("a@x", children, [&, children](SessionTable& s, const absl::Status& brought) {
          EXPECT_TRUE(brought.ok());
          forked = s.Fork("a@x", children, true).status();
        });
    if (!posted.ok()) return posted;
    StepAll(3);
    return forked;
  };
  EXPECT_TRUE(fork({"a@y", "a@z"}).ok());
  EXPECT_EQ(Home("a@y"), Home("a@x"));
  EXPECT_EQ(Home("a@z"), Home("a@x"));
  EXPECT_EQ(ReasonOf(fork({"a@new", "a@other"})), ErrorReason::kSessionExists);
  EXPECT_EQ(Home("a@new"), -1);
  EXPECT_EQ(Say("a@y", Prompt(4), 9).tokens, Say("a@x", Prompt(4), 9).tokens);
}

TEST_F(EnginesTest, ForksThatDoNotFitWhereTheirParentIsGoElsewhere) {
  StartSeveral({2, 2});
  ASSERT_TRUE(Create("a@x").ok());
  ASSERT_TRUE(Say("a@x", Prompt(50), 5).finished->status.ok());
  const auto fork = [&](const std::vector<std::string>& children) {
    absl::Status forked = absl::UnknownError("not answered");
    EXPECT_TRUE(engines_
                    ->PostForFork("a@x", children,
                                  [&, children](SessionTable& s, const absl::Status&) {
                                    forked = s.Fork("a@x", children, true).status();
                                  })
                    .ok());
    StepAll(6);
    return forked;
  };
  EXPECT_TRUE(fork({"a@1", "a@2", "a@3"}).ok());
  EXPECT_EQ(group_->homes.sessions(0), 2);
  EXPECT_EQ(group_->homes.sessions(1), 2);
  EXPECT_EQ(used_slots(), 4);
  const auto said = Say("a@x", Prompt(4), 9).tokens;
  for (const char* child : {"a@1", "a@2", "a@3"}) EXPECT_EQ(Say(child, Prompt(4), 9).tokens, said) << child;
  const absl::Status more = fork({"a@4"});
  EXPECT_EQ(ReasonOf(more), ErrorReason::kSessionsMax);
  EXPECT_NE(more.message().find("4 of 4 sessions exist"), std::string::npos) << more;
}

TEST_F(EnginesTest, WhatOneHasReadTheOthersNeedNotRead) {
  EngineOptions options;
  options.checkpoint_bytes = int64_t{16} << 20;
  StartSeveral({2, 2}, options);
  auto first = Send(Generate(Prompt(300), 4));
  RunAllToIdle();
  const Seen read = Drain(*first);
  EXPECT_EQ(read.finished->usage.cached_tokens, 0);
  auto a = Send(Generate(Prompt(300), 4)), b = Send(Generate(Prompt(300), 4));
  for (const int engine : {0, 1}) EXPECT_EQ(owned_[engine]->vacancy().streams, 1);
  RunAllToIdle();
  for (const auto& call : {a, b}) {
    const Seen seen = Drain(*call);
    EXPECT_EQ(seen.finished->usage.cached_tokens, 256);
    EXPECT_EQ(seen.tokens, read.tokens);
  }
}

TEST_F(EnginesTest, WorkGoesThroughAllEnginesAlsoWhileTheyDrain) {
  StartSeveral({4, 4, 4});
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Create(absl::StrCat("a@", i)).ok());
  std::vector<std::string> keys;
  int calls = 0, lasts = 0;
  ASSERT_TRUE(engines_
                  ->PostEach([&](SessionTable& s, bool last) {
                    for (const Session* session : s.List("a", "", 100)) keys.push_back(session->key);
                    ++calls;
                    lasts += last ? 1 : 0;
                    if (calls == 1) engines_->Drain();
                  })
                  .ok());
  StepAll(3);
  EXPECT_EQ(keys.size(), 12);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(lasts, 1);
  EXPECT_EQ(ReasonOf(engines_->PostEach([](SessionTable&, bool) {})), ErrorReason::kDraining);
}

}  // namespace
}  // namespace barista

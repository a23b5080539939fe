// A value that is not finite, planted in a sequence's state: that sequence alone is lost, and nobody keeps its state.
#include <limits>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

class NonFiniteTest : public EngineTest {
 protected:
  void Begin(int32_t slots, int64_t host_sessions = 0) {
    EngineOptions options;
    options.checkpoint_bytes = int64_t{16} << 20;
    options.prefix_tokens_min = 64;
    options.tiers.host_sessions = host_sessions;
    Start(slots, options);
  }
  void Plant(const StateComponent& component) {  // in slot 0, the first that an engine gives away
    const SlotArray array = m_.pool->array(component.layer, component.kind);
    m_.backend->Fill(array.base, array.dtype, component.count, std::numeric_limits<double>::quiet_NaN());
  }
  const StateComponent& First(StateKind kind) {
    const StateLayout& layout = m_.model->state_layout();
    return layout.components()[layout.find(0, kind)];
  }
  void Post(std::function<void(SessionTable&)> work) {
    ASSERT_TRUE(engine_->Post(std::move(work)).ok());
    Steps(1);
  }
  void Create(const std::string& id) {
    Post([&](SessionTable& s) { EXPECT_TRUE(s.Create(id).ok()); });
  }
  static Request On(const std::string& session, const std::vector<int32_t>& prompt, int32_t max_tokens) {
    Request request = Generate(prompt, max_tokens);
    request.session = session;
    request.opening = prompt;
    return request;
  }
  Seen Run(Request request) {
    auto call = Submit(std::move(request));
    RunToIdle();
    return Drain(*call);
  }
  static ErrorReason ReasonOf(const absl::Status& status) {
    EXPECT_FALSE(status.ok());
    return DetailOf(status).reason;
  }
  bool Exists(const std::string& id) {
    bool exists = false;
    Post([&](SessionTable& s) { exists = s.Find(id).ok(); });
    return exists;
  }
};

TEST_F(NonFiniteTest, InAnyArrayOfTheStateItEndsItsCallAlone) {
  Begin(3);
  const Seen clean = Run(Generate({1, 2, 3}, 6)), neighbour = Run(Generate({4, 5}, 6));
  int planted = 0;
  const std::vector<StateComponent> components = m_.model->state_layout().components();
  for (const StateComponent& component : components) {
    if (component.kind == StateKind::kLastHidden) continue;  // written anew by each token
    SCOPED_TRACE(Name(component.kind));
    Begin(3);
    auto lost = Submit(Generate({1, 2, 3}, 6)), other = Submit(Generate({4, 5}, 6));
    Steps(2);
    Plant(component);
    RunToIdle();
    const Seen seen = Drain(*lost);
    EXPECT_EQ(ReasonOf(seen.finished->status), ErrorReason::kNonFinite);
    EXPECT_EQ(seen.tokens.at(0).size(), 2u);
    EXPECT_EQ(Drain(*other).tokens, neighbour.tokens);
    auto in_one = Submit(Generate({1, 2, 3}, 6)), in_the_other = Submit(Generate({1, 2, 3}, 6));  // of the two slots
    RunToIdle();
    EXPECT_EQ(Drain(*in_one).tokens, clean.tokens);
    EXPECT_EQ(Drain(*in_the_other).tokens, clean.tokens);
    EXPECT_EQ(metrics_.state_nonfinite_total.Value(), ++planted);
  }
  EXPECT_GT(planted, 6);
}

TEST_F(NonFiniteTest, AnAppendIsToldAndItsSessionEnds) {
  Begin(2);
  Create("a");
  EXPECT_TRUE(Run(On("a", {1, 2, 3}, 2)).finished->status.ok());
  Plant(First(StateKind::kLatentVtilde));
  Request append = On("a", {7, 8}, 1);
  append.kind = RequestKind::kAppend;
  auto call = Submit(append);
  call->Feed({}, true);
  RunToIdle();
  EXPECT_EQ(ReasonOf(Drain(*call).finished->status), ErrorReason::kNonFinite);
  EXPECT_FALSE(Exists("a"));
}

TEST_F(NonFiniteTest, AnIdleSessionIsLostRatherThanPutAway) {
  Begin(1, 1);
  Create("a");
  Create("b");
  EXPECT_TRUE(Run(On("a", {1, 2, 3}, 2)).finished->status.ok());
  Plant(First(StateKind::kKeys));
  EXPECT_TRUE(Run(On("b", {4}, 2)).finished->status.ok());  // wants the only slot
  EXPECT_FALSE(Exists("a"));
  EXPECT_EQ(metrics_.state_nonfinite_total.Value(), 1);
  EXPECT_EQ(metrics_.sessions("host").Value(), 0);
}

TEST_F(NonFiniteTest, NobodyGetsACopy) {
  Begin(1, 4);
  Create("a");
  EXPECT_TRUE(Run(On("a", {1, 2, 3}, 2)).finished->status.ok());
  Plant(First(StateKind::kLatentAlpha));
  Post([](SessionTable& sessions) {
    EXPECT_EQ(ReasonOf(sessions.Export("a").status()), ErrorReason::kNonFinite);
    const std::vector<std::string> children = {"b", "c"};
    EXPECT_EQ(ReasonOf(sessions.Fork("a", children, false).status()), ErrorReason::kNonFinite);
    EXPECT_FALSE(sessions.Find("b").ok());
  });
}

TEST_F(NonFiniteTest, NoPromptGoesOnFromIt) {
  Begin(2);
  const std::vector<int32_t> prompt = Prompt(300);
  auto call = Submit(Generate(prompt, 4));
  Steps(1);
  Plant(First(StateKind::kLatentMax));
  RunToIdle();
  EXPECT_EQ(ReasonOf(Drain(*call).finished->status), ErrorReason::kNonFinite);
  const Seen again = Run(Generate(prompt, 4));
  EXPECT_TRUE(again.finished->status.ok());
  EXPECT_EQ(again.finished->usage.cached_tokens, 0);
  EXPECT_EQ(Run(Generate(prompt, 4)).finished->usage.cached_tokens, 256);
}

TEST_F(NonFiniteTest, ARewindGoesBackBeforeIt) {
  Begin(2);
  Create("a");
  Request request = On("a", Prompt(20), 3);
  EXPECT_TRUE(Run(request).finished->status.ok());
  Plant(First(StateKind::kRglruH));
  Request rewind;
  rewind.kind = RequestKind::kRewind;
  rewind.session = "a";
  rewind.rewind.turns = 1;
  EXPECT_TRUE(Run(rewind).finished->status.ok());
  EXPECT_TRUE(Run(request).finished->status.ok());
}

TEST(IsFiniteTest, EveryElementCountsAndOnlyAFreshMaximumMayBeMinusInfinity) {
  const auto checkpoint = Checkpoint::Open("tests/golden/variants/macchiato-rglru");
  ASSERT_TRUE(checkpoint.ok());
  for (const DType ring : {DType::kF32, DType::kBF16, DType::kF16}) {
    const StateLayout layout((*checkpoint)->config(), {.state_dtype = DType::kF32, .ring_dtype = ring});
    const std::string fresh = FreshState(layout);
    EXPECT_TRUE(IsFinite(layout, fresh));
    for (const StateComponent& c : layout.components()) {
      for (const int64_t element : {int64_t{0}, c.count - 1}) {
        for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                                   -std::numeric_limits<double>::infinity(), 65504.0}) {
          std::string state = fresh;
          char* at = state.data() + c.offset + element * static_cast<int64_t>(SizeOf(c.dtype));
          const float x = static_cast<float>(value);
          const BFloat16 b = ToBFloat16(x);
          const Float16 h = ToFloat16(x);
          const void* from = c.dtype == DType::kF32    ? static_cast<const void*>(&x)
                             : c.dtype == DType::kBF16 ? static_cast<const void*>(&b)
                                                       : &h;
          std::memcpy(at, from, SizeOf(c.dtype));
          const bool may = value == 65504.0 || (c.kind == StateKind::kLatentMax && value < 0);
          EXPECT_EQ(IsFinite(layout, state), may) << Name(c.kind) << " " << element << " " << value;
        }
      }
    }
  }
}

}  // namespace
}  // namespace barista

#include "kernels/activation/activation.h"

#include <gtest/gtest.h>

#include <tuple>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Close;
using test::ForEachIsa;
using test::ForEachTwin;
using test::Matrix;
using test::Random;

constexpr int64_t kRows = 5;
constexpr int64_t kWidths[] = {1, 7, 33, 96};

// float32 functions with relative errors of a few 2^-24; the absolute part is for sums that cancel and for gelu(-10).
constexpr test::Tolerance kFloat{1e-6, 2e-6};

std::vector<float> Arguments(Random& random, int64_t n) {
  std::vector<float> x = random.Normal(n, 4);
  constexpr float kEdges[] = {0, -0.0f, 1e-8f, -50, 50, 100, -100};
  for (int64_t i = 0; i < n && i < 7; ++i) x[i] = kEdges[i];
  return x;
}

// Calls cpu(args), or cuda(args, queue) on copies of the views, which `views` names.
template <class Args, class Views>
void Twin(Args args, const Views& views, void (*cpu)(const Args&), void (*cuda)(const Args&, CudaQueue&)) {
  if (!test::OnDevice()) return cpu(args);
  std::apply(
      [&](auto&... view) {
        test::Device device(view...);
        device.MoveAll(view...);
        cuda(args, device.queue());
      },
      views(args));
}
void GeluTwin(const GeluArgs& args) {
  Twin(
      args, [](GeluArgs& a) { return std::tie(a.x, a.y); }, GeluCpu, GeluCuda);
}
void GluTwin(const GluArgs& args) {
  Twin(
      args, [](GluArgs& a) { return std::tie(a.value, a.gate, a.x); }, GluCpu, GluCuda);
}
void AddTwin(const AddArgs& args) {
  Twin(
      args, [](AddArgs& a) { return std::tie(a.x, a.y); }, AddCpu, AddCuda);
}
void SoftcapTwin(const SoftcapArgs& args) {
  Twin(
      args, [](SoftcapArgs& a) { return std::tie(a.x); }, SoftcapCpu, SoftcapCuda);
}
void GroupSoftmaxTwin(const GroupSoftmaxArgs& args) {
  Twin(
      args, [](GroupSoftmaxArgs& a) { return std::tie(a.x); }, GroupSoftmaxCpu,
      +[](const GroupSoftmaxArgs& a, CudaQueue& queue) { GroupSoftmaxCuda(a, queue, {}); });
}

TEST(Activation, MlpActivationCpuFollowsTheEquation) {
  for (const int64_t F : kWidths) {
    for (const Activation act : {Activation::kGelu, Activation::kSilu}) {
      for (const bool gated : {false, true}) {
        Random random(61);
        const std::vector<float> gate = Arguments(random, kRows * F), up = Arguments(random, kRows * F);
        const auto run = [&]<class T>(T, const auto& activation) {
          Matrix<T> g(kRows, F, gate), u(kRows, F, up), y(kRows, F);
          activation({.act = act, .gate = gated ? g.view() : Rows{}, .up = u.view(), .y = y.view()});
          activation({.act = act, .gate = gated ? g.view() : Rows{}, .up = u.view(), .y = u.view()});
          EXPECT_EQ(u.values(), y.values()) << "in place";
          return y.values();
        };
        const std::vector<double> truth = run(double{}, MlpActivationRef<double>);
        EXPECT_TRUE(Close(run(float{}, MlpActivationRef<float>), truth, {1e-5, 1e-5}));
        ForEachIsa([&] { EXPECT_TRUE(Close(run(float{}, MlpActivationCpu), truth, {4e-6, 4e-6})); });
      }
    }
  }
}

TEST(Activation, GeluTwinsFollowTheEquation) {
  for (const int64_t D : kWidths) {
    Random random(62);
    const std::vector<float> x = Arguments(random, kRows * D);
    const auto run = [&]<class T>(T, const auto& gelu) {
      Matrix<T> from(kRows, D, x), to(kRows, D);
      gelu({.x = from.view(), .y = to.view()});
      return to.values();
    };
    const std::vector<double> truth = run(double{}, GeluRef<double>);
    EXPECT_TRUE(Close(run(float{}, GeluRef<float>), truth, kFloat));
    ForEachTwin([&] { EXPECT_TRUE(Close(run(float{}, GeluTwin), truth, kFloat)); });
  }
}

TEST(Activation, GluAndAddTwinsFollowTheEquation) {
  for (const int64_t D : kWidths) {
    Random random(63);
    const std::vector<float> x = random.Normal(kRows * D), value = random.Normal(kRows * D);
    const std::vector<float> gate = Arguments(random, kRows * D);
    const auto run = [&]<class T>(T, const auto& glu, const auto& add) {
      Matrix<T> to(kRows, D, x), v(kRows, D, value), g(kRows, D, gate);
      glu({.value = v.view(), .gate = g.view(), .x = to.view()});
      add({.x = to.view(), .y = v.view()});
      return to.values();
    };
    const std::vector<double> truth = run(double{}, GluRef<double>, AddRef<double>);
    EXPECT_TRUE(Close(run(float{}, GluRef<float>, AddRef<float>), truth, kFloat));
    ForEachTwin([&] { EXPECT_TRUE(Close(run(float{}, GluTwin, AddTwin), truth, kFloat)); });
  }
}

TEST(Activation, SoftcapTwinsFollowTheEquation) {
  for (const double cap : {0.5, 30.0}) {
    for (const int64_t V : kWidths) {
      Random random(64);
      const std::vector<float> x = Arguments(random, kRows * V);
      const auto run = [&]<class T>(T, const auto& softcap) {
        Matrix<T> to(kRows, V, x);
        softcap({.cap = cap, .x = to.view()});
        return to.values();
      };
      const std::vector<double> truth = run(double{}, SoftcapRef<double>);
      EXPECT_TRUE(Close(run(float{}, SoftcapRef<float>), truth, {0, 2e-6}));
      ForEachTwin([&] { EXPECT_TRUE(Close(run(float{}, SoftcapTwin), truth, {0, 2e-6})); });
    }
  }
}

TEST(Activation, GroupSoftmaxTwinsFollowTheEquation) {
  for (const int64_t group : {1, 2, 12, 32, 33, 129}) {
    Random random(65);
    std::vector<float> x = random.Normal(kRows * 3 * group, 10);
    x[0] = 1e4f;
    const auto run = [&]<class T>(T, const auto& softmax) {
      Matrix<T> to(kRows, 3 * group, x);
      softmax({.scale = 0.7, .group = group, .x = to.view()});
      return to.values();
    };
    const std::vector<double> truth = run(double{}, GroupSoftmaxRef<double>);
    const test::Tolerance tolerance{1e-7, 1e-5};  // scale * x of size 40 is rounded to 2^-19 before e^x
    EXPECT_TRUE(Close(run(float{}, GroupSoftmaxRef<float>), truth, tolerance));
    ForEachTwin([&] { EXPECT_TRUE(Close(run(float{}, GroupSoftmaxTwin), truth, tolerance)); });
  }
}

}  // namespace
}  // namespace barista

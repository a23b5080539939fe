#include "kernels/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Matrix;
using test::Random;

std::unique_ptr<Backend> Cpu(int threads) {
  absl::StatusOr<std::unique_ptr<Backend>> backend = MakeBackend({.kind = "cpu", .threads = threads});
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

TEST(MakeBackendTest, KindsAndOptionsThatCannotBeAreRefusedByName) {
  const auto error = [](const BackendOptions& options) { return MakeBackend(options).status(); };
  EXPECT_EQ(error({.kind = "tpu"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(error({.kind = "tpu"}).message()), testing::HasSubstr("\"tpu\""));
  EXPECT_THAT(std::string(error({.kind = "cpu", .threads = -1}).message()), testing::HasSubstr("threads is -1"));
  EXPECT_EQ(error({.kind = "cpu", .threads = 5000}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error({.kind = "cpu", .cpu_isa = "mmx"}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(MakeBackendTest, AutoIsCpuAndDescribesItself) {
  const std::unique_ptr<Backend> backend = *MakeBackend({.threads = 2});
  EXPECT_EQ(backend->name(), "cpu");
  EXPECT_EQ(backend->threads(), 2);
  EXPECT_THAT(backend->Describe(), testing::EndsWith("2 threads"));
  EXPECT_EQ(backend->ring_dtype(DType::kBF16), DType::kBF16);
}

TEST(MakeBackendTest, CudaIsThereOrSaysWhatIsMissing) {
  const absl::StatusOr<std::unique_ptr<Backend>> backend = MakeBackend({.kind = "cuda"});
  if (backend.ok()) {
    EXPECT_EQ((*backend)->name(), "cuda");
    EXPECT_TRUE((*backend)->status().ok());
  } else {
    EXPECT_EQ(backend.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(backend.status().message()), testing::HasSubstr("cuda"));
  }
}

TEST(MakeBackendTest, OnlyCardsAreCounted) {
  EXPECT_EQ(DeviceCount({.kind = "cpu"}), 1);
  EXPECT_EQ(DeviceCount({.kind = "ref"}), 1);
  EXPECT_GE(DeviceCount({.kind = "cuda"}), 1);
  EXPECT_EQ(DeviceCount({.kind = "auto"}), DeviceCount({.kind = "cuda"}));
  EXPECT_TRUE(MakeBackend({.kind = "cpu", .threads = 1, .device = 7}).ok());
}

// Every cut of the work gives the bits that the calling thread alone gives.
class CutTest : public testing::TestWithParam<int64_t> {
 protected:
  template <class Run>
  void ExpectEqual(int64_t columns, const Run& run) {
    const int64_t rows = GetParam();
    Random random(3);
    const std::vector<float> values = random.Normal(rows * columns);
    std::vector<double> results[2];
    for (const int threads : {1, 3}) {
      const std::unique_ptr<Backend> backend = Cpu(threads);
      Matrix<float> x(rows, columns, values), y(rows, columns);
      run(*backend, x.view(), y.view());
      results[threads == 3] = y.values();
    }
    EXPECT_EQ(results[0], results[1]);
  }
};

TEST_P(CutTest, ElementWiseOperations) {
  ExpectEqual(20011, [](Backend& b, Rows x, Rows y) { b.Gelu({x, y}); });
  ExpectEqual(20011, [](Backend& b, Rows x, Rows y) {
    b.Gelu({x, y});
    b.Glu({x, x, y});
    b.Add({y, x});
    b.Softcap({30, y});
  });
}

TEST_P(CutTest, GroupsAndRows) {
  ExpectEqual(33 * 400, [](Backend& b, Rows x, Rows y) {
    b.Gelu({x, y});
    b.GroupSoftmax({.scale = 1, .group = 33, .x = y});
  });
  const std::vector<float> weight(900, 0.5f);
  ExpectEqual(900, [&](Backend& b, Rows x, Rows y) {
    b.Norm({.kind = NormKind::kRmsNorm, .weight = weight.data(), .x = x, .y = y});
  });
  std::vector<int64_t> positions(GetParam());
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i * 1000);
  ExpectEqual(960,
              [&](Backend& b, Rows x, Rows y) { b.Rotate({.positions = positions, .head_dim = 96, .x = x, .y = y}); });
}

INSTANTIATE_TEST_SUITE_P(Rows, CutTest, testing::Values(1, 2, 65));

// A chain's rows follow each other however its work is dealt to threads, beside segments that do not wait for it.
TEST(CpuBackendTest, AChainRunsInOrderOnAnyThreads) {
  constexpr int64_t kHeads = 8, kLatents = 32, kHeadDim = 96, kRows = 7;
  Random random(5);
  std::vector<float> p = random.Normal(kRows * kHeads * kLatents);
  test::Softmax(p, kLatents);
  const std::vector<float> k = random.Normal(kRows * kHeads * kLatents, 3);
  const std::vector<float> v = random.Normal(kRows * kHeads * kHeadDim);
  const auto run = [&](int threads, const std::vector<std::vector<Segment>>& steps) {
    Matrix<float> p_rows(kRows, kHeads * kLatents, p), k_rows(kRows, kHeads * kLatents, k);
    Matrix<float> v_rows(kRows, kHeads * kHeadDim, v), y(kRows, kHeads * kHeadDim);
    test::Slots max(7, kHeads * kLatents, DType::kF32, -INFINITY), alpha(7, kHeads * kLatents, DType::kF32);
    test::Slots vtilde(7, kHeads * kLatents * kHeadDim, DType::kF32);
    const std::unique_ptr<Backend> backend = Cpu(threads);
    for (const std::vector<Segment>& segments : steps) {
      backend->Latte({.segments = segments,
                      .heads = kHeads,
                      .kv_heads = kHeads,
                      .head_dim = kHeadDim,
                      .latents = kLatents,
                      .p = p_rows.view(),
                      .k = k_rows.view(),
                      .v = v_rows.view(),
                      .y = y.view(),
                      .max = max.array(),
                      .alpha = alpha.array(),
                      .vtilde = vtilde.array()});
    }
    return y.values();
  };
  const auto row = [](int32_t slot, int32_t at, int32_t from = -1) {
    return Segment{.slot = slot, .row = at, .rows = 1, .position = at, .from = from};
  };
  const std::vector<double> want =
      run(1, {{row(6, 0)}, {row(3, 1)}, {row(3, 2)}, {row(3, 3)}, {row(0, 4)}, {row(2, 5)}, {row(2, 6)}});
  const std::vector<Segment> chains = {row(6, 0), row(3, 1), row(1, 2, 3), row(5, 3, 1),
                                       row(0, 4), row(2, 5), row(4, 6, 2)};
  for (const int threads : {1, 2, 3}) EXPECT_EQ(run(threads, {chains}), want) << threads << " threads";
}

TEST(CpuBackendTest, FillWritesTheElementType) {
  const std::unique_ptr<Backend> backend = Cpu(1);
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kBF16, DType::kF16}) {
    std::vector<std::byte> data(5 * SizeOf(dtype));
    backend->Fill(data.data(), dtype, 5, -1.5);
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(LoadAsDouble(data.data(), dtype, i), -1.5);
  }
}

TEST(CopyTest, EveryByteOfAnySizeAndNoneBeside) {
  for (const int threads : {1, 2, 5}) {
    const std::unique_ptr<Backend> backend = Cpu(threads);
    for (const size_t bytes : {0, 1, 63, 100'000, 524'287, 524'288, 524'289, 786'432, 1'000'003, 5'963'776}) {
      const absl::StatusOr<Buffer> from = backend->Allocate(bytes + 64, "from"),
                                   to = backend->Allocate(bytes + 64, "to");
      ASSERT_TRUE(from.ok() && to.ok());
      auto *src = reinterpret_cast<uint8_t*>(from->data()), *dst = reinterpret_cast<uint8_t*>(to->data());
      for (size_t i = 0; i < bytes + 64; ++i) src[i] = static_cast<uint8_t>(1 + i * 2654435761 % 255);
      backend->Copy(dst, src, bytes);
      EXPECT_TRUE(std::equal(src, src + bytes, dst)) << bytes << " bytes, " << threads << " threads";
      EXPECT_TRUE(std::all_of(dst + bytes, dst + bytes + 64, [](uint8_t b) { return b == 0; })) << bytes;
    }
  }
}

}  // namespace
}  // namespace barista

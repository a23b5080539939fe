#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kernels/matmul/matmul_cuda.h"
#include "kernels/norm/norm.h"
#include "tests/kernels/weight_data.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Kind;
using test::kKinds;
using test::Matrix;
using test::Random;
using test::Weight;

// Whoever makes the norm: the product's blocks, the packing, or a kernel of its own where neither can.
TEST(NormMultiplyTest, IsTheNormAndThenTheProductsInEveryBit) {
  if (!test::HasDevice()) return;  // a build for cards on a machine without one
  Random random(23);
  struct Slice {
    int64_t first, in, out;
  };
  const auto run = [&](const Kind& kind, NormKind norm_kind, int64_t rows, int64_t D,
                       const std::vector<Slice>& slices) {
    SCOPED_TRACE(testing::Message() << rows << " rows of " << D << ", " << slices.size() << " products");
    const std::vector<float> weight = random.Normal(D), bias = random.Normal(D);
    Matrix<float> x(rows, D, random.Normal(rows * D, 2, 1));
    std::vector<std::unique_ptr<CudaLinear>> linears;
    for (const Slice& slice : slices) {
      const Weight part(random, slice.out, slice.in, kind);
      linears.push_back(*CudaLinear::Create({&part.host, 1}, std::nullopt, kind.quantization));
    }
    std::vector<std::vector<double>> results[2];
    for (const bool together : {false, true}) {
      Matrix<float> h(rows, D);
      std::vector<Matrix<float>> outs;
      for (const Slice& slice : slices) outs.emplace_back(rows, slice.out);
      {
        std::vector<test::Memory> memories = {test::MemoryOf(x.view()), test::MemoryOf(h.view()),
                                              test::MemoryOf(weight), test::MemoryOf(bias)};
        for (Matrix<float>& out : outs) memories.push_back(test::MemoryOf(out.view()));
        test::Device device(memories);
        NormArgs norm = {.kind = norm_kind, .weight = weight.data(), .bias = bias.data(), .x = x.view(), .y = h.view()};
        device.MoveAll(norm.weight, norm.bias, norm.x, norm.y);
        std::vector<LinearCall> calls;
        for (size_t i = 0; i < slices.size(); ++i) {
          LinearCall call = {linears[i].get(), norm.y.Columns(slices[i].first, slices[i].in), outs[i].view()};
          device.Move(call.y);
          calls.push_back(call);
        }
        CudaMatmul matmul({.multiprocessors = 4});
        ASSERT_TRUE(matmul.Reserve(rows, 4 * D).ok());
        if (!together) NormCuda(norm, device.queue());
        if (!together) matmul.Multiply(calls, device.queue());
        if (together) matmul.NormMultiply(norm, calls, device.queue());
      }
      results[together].push_back(h.values());
      for (const Matrix<float>& out : outs) results[together].push_back(out.values());
    }
    EXPECT_EQ(results[0], results[1]);
  };
  for (const Kind& kind : kKinds) {
    for (const int64_t rows : {1, 3, 8, 9, 70}) {
      run(kind, NormKind::kRmsNorm, rows, 96, {{0, 96, 40}, {0, 48, 48}, {48, 48, 33}});
      run(kind, NormKind::kLayerNorm, rows, 50, {{0, 50, 20}, {10, 10, 10}, {40, 10, 17}});  // slices in no tile
      run(kind, NormKind::kAffine, rows, 33, {{0, 33, 16}, {17, 5, 3}});                     // nor at a pair
    }
  }
  run(kKinds[0], NormKind::kRmsNorm, 5, 7000, {{0, 7000, 16}});  // more than a block's memory holds
}

// y of one product is x of the next: packed by who makes it, or by who reads it.
TEST(ForProductsTest, WhoPacksChangesNoBit) {
  if (!test::HasDevice()) return;  // a build for cards on a machine without one
  Random random(29);
  for (const Kind& kind : kKinds) {
    for (const int64_t rows : {1, 8, 9, 30, 70}) {
      for (const int64_t middle : {48, 50}) {
        SCOPED_TRACE(testing::Message() << rows << " rows, " << middle << " between");
        std::vector<Weight> parts;
        for (int i = 0; i < 2; ++i) parts.emplace_back(random, middle, 40, kind, false, true);
        const Weight second(random, 33, middle, kind);
        const HostMatrix gate_up[] = {parts[0].host, parts[1].host};
        const auto first = *CudaLinear::Create(gate_up, Activation::kSilu, kind.quantization);
        const auto next = *CudaLinear::Create({&second.host, 1}, std::nullopt, kind.quantization);
        Matrix<float> x(rows, 40, random.Normal(rows * 40));
        std::vector<double> results[2];
        for (const bool packed : {false, true}) {
          Matrix<float> y(rows, middle), z(rows, 33);
          {
            test::Device device(x, y, z);
            Rows on_device[] = {x.view(), y.view(), z.view()};
            for (Rows& view : on_device) device.Move(view);
            CudaMatmul matmul({.multiprocessors = 4});
            ASSERT_TRUE(matmul.Reserve(rows, 64).ok());
            const LinearCall one = {first.get(), on_device[0], on_device[1], false, packed};
            const LinearCall two = {next.get(), on_device[1], on_device[2]};
            matmul.Multiply({&one, 1}, device.queue());
            matmul.Multiply({&two, 1}, device.queue());
            matmul.Multiply({&two, 1}, device.queue());  // no longer packed
          }
          results[packed] = z.values();
        }
        EXPECT_EQ(results[0], results[1]);
      }
    }
  }
}

}  // namespace
}  // namespace barista

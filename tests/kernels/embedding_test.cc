#include "kernels/embedding/embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Close;
using test::Matrix;
using test::Random;

constexpr int32_t kTokens[] = {0, 4, 2, 4, 1};
constexpr int64_t kPositions[] = {0, 1, 63, 1'000'003, 12'345'678};

template <class T>
std::vector<std::byte> Bytes(const std::vector<float>& values, T (*convert)(float)) {
  std::vector<std::byte> bytes(1);  // the table starts at an odd byte
  for (const float value : values) {
    const T x = convert(value);
    const auto* p = reinterpret_cast<const std::byte*>(&x);
    bytes.insert(bytes.end(), p, p + sizeof(T));
  }
  return bytes;
}

TEST(Embedding, TwinsFollowTheEquationForEveryTypeOfTable) {
  for (const int64_t D : {2, 33, 96}) {
    Random random(81);
    const std::vector<float> values = random.Normal(5 * D);
    const std::pair<DType, std::vector<std::byte>> tables[] = {
        {DType::kF32, Bytes<float>(values, [](float x) { return x; })},
        {DType::kF64, Bytes<double>(values, [](float x) { return double{x}; })},
        {DType::kBF16, Bytes<BFloat16>(values, ToBFloat16)},
        {DType::kF16, Bytes<Float16>(values, ToFloat16)}};
    for (const auto& [dtype, table] : tables) {
      for (const bool sinusoidal : {false, true}) {
        std::vector<double> truth;
        for (int64_t i = 0; i < 5 * D; ++i) {
          const int64_t r = i / D, d = i % D;
          const long double angle =
              static_cast<long double>(kPositions[r]) *
              std::pow(10000.0L, -static_cast<long double>(d / 2 * 2) / static_cast<long double>(D));
          const long double pe = d % 2 == 0 ? std::sin(angle) : std::cos(angle);
          truth.push_back(1.5 * LoadAsDouble(table.data() + 1, dtype, kTokens[r] * D + d) +
                          (sinusoidal ? static_cast<double>(pe) : 0));
        }
        const auto run = [&]<class T>(T, const auto& embed) {
          Matrix<T> x(5, D);
          embed({.tokens = kTokens,
                 .positions = kPositions,
                 .table = table.data() + 1,
                 .table_dtype = dtype,
                 .scale = 1.5,
                 .sinusoidal = sinusoidal,
                 .x = x.view()});
          return x.values();
        };
        EXPECT_TRUE(Close(run(double{}, EmbedRef<double>), truth, {2e-8, 0}));  // the angle 12,345,678 in double
        EXPECT_TRUE(Close(run(float{}, EmbedRef<float>), truth, {5e-7, 2e-7}));
        test::ForEachTwin([&] {
          const auto twin = [&table = table](EmbedArgs args) {
            if (!test::OnDevice()) return EmbedCpu(args);
            test::Device device(args.x, test::Memory{table.data() + 1, table.size() - 1}, args.tokens, args.positions);
            device.MoveAll(args.x, args.table, args.tokens, args.positions);
            EmbedCuda(args, device.queue());
          };
          EXPECT_TRUE(Close(run(float{}, twin), truth, {5e-7, 2e-7}));
        });
      }
    }
  }
}

}  // namespace
}  // namespace barista

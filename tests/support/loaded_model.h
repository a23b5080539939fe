// A model on a backend with a few slots, for tests; and ways to run tokens through it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "server/model/checkpoint.h"
#include "server/model/model.h"

namespace barista {

struct LoadedModel {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::optional<StatePool> pool;

  static LoadedModel Load(const std::string& directory, const BackendOptions& backend_options,
                          const ModelOptions& options = {}, int32_t slots = 4) {
    auto backend = MakeBackend(backend_options);
    EXPECT_TRUE(backend.ok()) << backend.status();
    return Load(directory, *std::move(backend), options, slots);
  }
  static LoadedModel Load(const std::string& directory, std::unique_ptr<Backend> backend,
                          const ModelOptions& options = {}, int32_t slots = 4) {
    LoadedModel m;
    auto checkpoint = Checkpoint::Open(directory);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    m.checkpoint = *std::move(checkpoint);
    m.backend = std::move(backend);
    auto model = Model::Load(*m.checkpoint, *m.backend, options);
    EXPECT_TRUE(model.ok()) << model.status();
    m.model = *std::move(model);
    auto pool = StatePool::Create(*m.backend, m.model->state_layout(), slots);
    EXPECT_TRUE(pool.ok()) << pool.status();
    m.pool.emplace(*std::move(pool));
    return m;
  }

  std::vector<double> ReadRow(const Rows& rows, int64_t r) const {
    std::vector<std::byte> host(rows.cols * SizeOf(rows.dtype));
    backend->Download(host.data(), rows.Slice(r, 1).data, host.size());
    std::vector<double> row(rows.cols);
    for (int64_t i = 0; i < rows.cols; ++i) row[i] = LoadAsDouble(host.data(), rows.dtype, i);
    return row;
  }

  // Feeds `tokens` to `slot` (fresh where position is 0) in pieces of the given sizes; a piece of size 1 is a decode
  // step where `decode_ones`. Returns the logits of every position.
  std::vector<std::vector<double>> Run(absl::Span<const int32_t> tokens, const std::vector<int32_t>& pieces,
                                       bool decode_ones, int32_t slot = 1) {
    pool->Init(slot);
    std::vector<std::vector<double>> logits;
    int64_t position = 0;
    for (int32_t size : pieces) {
      const Segment segment = {
          .slot = slot, .row = 0, .rows = size, .position = position, .prefill = !(decode_ones && size == 1)};
      model->Forward({&segment, 1}, tokens.subspan(position, size), *pool);
      for (int32_t r = 0; r < size; ++r) logits.push_back(ReadRow(model->LogitsOfRows(r, 1), 0));
      position += size;
    }
    return logits;
  }
};

// Random sizes that sum to `total`; about half of them ones.
inline std::vector<int32_t> RandomCuts(int32_t total, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<int32_t> cuts;
  while (total > 0) {
    const int32_t size = std::min<int32_t>(total, rng() % 2 == 0 ? 1 : 1 + static_cast<int32_t>(rng() % 90));
    cuts.push_back(size);
    total -= size;
  }
  return cuts;
}

}  // namespace barista

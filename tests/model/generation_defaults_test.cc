#include "server/model/generation_defaults.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barista {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;

TEST(GenerationDefaults, KnownKeysAreReadAndOthersIgnored) {
  const auto d = ParseGenerationDefaults(
      R"({"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0, "do_sample": true, "temperature": 0.7,
          "top_k": 50, "top_p": 0.9, "min_p": 0.05, "typical_p": 1.0, "repetition_penalty": 1.1,
          "transformers_version": "4.40.0", "suppress_tokens": [1, 2]})",
      "g.json", 11);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_THAT(d->bos_token_id, Optional(1));
  EXPECT_THAT(d->eos_token_ids, Optional(ElementsAre(2, 3)));
  EXPECT_THAT(d->pad_token_id, Optional(0));
  EXPECT_THAT(d->do_sample, Optional(true));
  EXPECT_THAT(d->temperature, Optional(0.7));
  EXPECT_THAT(d->top_k, Optional(50));
  EXPECT_THAT(d->top_p, Optional(0.9));
  EXPECT_THAT(d->min_p, Optional(0.05));
  EXPECT_THAT(d->typical_p, Optional(1.0));
  EXPECT_THAT(d->repetition_penalty, Optional(1.1));
}

TEST(GenerationDefaults, AbsentAndNullKeysStayEmpty) {
  const auto d = ParseGenerationDefaults(R"({"temperature": null, "top_k": null, "eos_token_id": null})", "g.json", 11);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_FALSE(d->temperature || d->top_k || d->top_p || d->eos_token_ids || d->do_sample || d->bos_token_id);
}

TEST(GenerationDefaults, WrongValuesAreRefusedByName) {
  struct Row {
    const char *json, *words;
  };
  for (const Row& row :
       {Row{R"({"temperature": -1})", "temperature is -1"}, Row{R"({"temperature": "1"})", "temperature"},
        Row{R"({"top_k": 1.5})", "top_k is 1.5"}, Row{R"({"top_k": -1})", "top_k is -1"},
        Row{R"({"top_p": 0})", "top_p is 0"}, Row{R"({"top_p": 1.01})", "top_p is 1.01"},
        Row{R"({"min_p": 2})", "min_p is 2"}, Row{R"({"typical_p": 0})", "typical_p is 0"},
        Row{R"({"repetition_penalty": 0})", "repetition_penalty is 0"}, Row{R"({"do_sample": 1})", "do_sample is 1"},
        Row{R"({"bos_token_id": 11})", "bos_token_id is 11"},
        Row{R"({"eos_token_id": [1, -1]})", "eos_token_id[1] is -1"}, Row{"[]", "object"}, Row{"{", "JSON"}}) {
    const auto d = ParseGenerationDefaults(row.json, "g.json", 11);
    EXPECT_EQ(d.status().code(), absl::StatusCode::kInvalidArgument) << row.json;
    EXPECT_THAT(std::string(d.status().message()), HasSubstr(row.words));
  }
}

}  // namespace
}  // namespace barista

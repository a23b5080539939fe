// What a store may hold after calls that were answered, failed or were cut off: for each key the bytes, or nothing,
// that a reader may find. A call that was acknowledged leaves one answer, one that was not adds one.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/store/state_store.h"

namespace barista {

class ExpectedStates {
 public:
  using State = std::optional<std::string>;

  void Put(const std::string& key, const std::string& bytes, const absl::Status& status) {
    if (!absl::IsAlreadyExists(status)) Add(key, bytes, status.ok());
  }
  void Delete(const std::string& key, const absl::Status& status) {
    if (!absl::IsNotFound(status)) Add(key, std::nullopt, status.ok());
  }
  bool Allows(const std::string& key, const State& state) const {
    const auto found = allowed_.find(key);
    return found == allowed_.end() ? !state.has_value() : found->second.count(state) > 0;
  }

  // A healthy store holds what is allowed and nothing else. What it holds is all that is allowed from then on.
  void Check(StateStore& store) {
    std::vector<std::string> present;
    for (auto& [key, allowed] : allowed_) {
      const absl::StatusOr<std::string> got = store.Get(key, 1 << 30);
      ASSERT_TRUE(got.ok() || absl::IsNotFound(got.status())) << key << ": " << got.status();
      const State state = got.ok() ? State(*got) : std::nullopt;
      ASSERT_TRUE(allowed.count(state) > 0)
          << key << (got.ok() ? " has " + std::to_string(got->size()) + " bytes that nobody put" : " is gone");
      allowed = {state};
      if (got.ok()) present.push_back(key);
    }
    const absl::StatusOr<std::vector<std::string>> listed = store.List();
    ASSERT_TRUE(listed.ok()) << listed.status();
    EXPECT_EQ(*listed, present);
  }

 private:
  void Add(const std::string& key, const State& state, bool acknowledged) {
    std::set<State>& allowed = allowed_.insert({key, {std::nullopt}}).first->second;
    if (acknowledged) allowed.clear();
    allowed.insert(state);
  }

  std::map<std::string, std::set<State>> allowed_;
};

}  // namespace barista

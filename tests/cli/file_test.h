// A test of a command that reads or writes one file, in a directory of its own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/temp_dir.h"

namespace barista::cli {

class FileTest : public ::testing::Test {
 protected:
  std::string Path() const { return folder_.file("file"); }
  std::string Content() const {
    std::ifstream file(Path(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void Put(const std::string& bytes) const { folder_.Write("file", bytes); }
  void ExpectOnlyTheOldFile() const {
    EXPECT_EQ(Content(), "old");
    EXPECT_FALSE(std::filesystem::exists(Path() + ".part"));
  }

  const TempDir folder_;
};

}  // namespace barista::cli

#include "server/model/safetensors.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_dir.h"

namespace barista {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<std::vector<SafetensorsEntry>> ParseHeader(const std::string& file) {
  return ParseSafetensorsHeader({reinterpret_cast<const std::byte*>(file.data()), file.size()}, "w.safetensors");
}

void ExpectRefused(const std::string& file, const std::string& words) {
  const auto entries = ParseHeader(file);
  ASSERT_FALSE(entries.ok()) << words;
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(entries.status().message()), HasSubstr("w.safetensors"));
  EXPECT_THAT(std::string(entries.status().message()), HasSubstr(words));
}

// A file whose only tensor "a" is described by `entry`, with `bytes` bytes of data.
std::string OneTensor(const std::string& entry, size_t bytes) {
  return RawSafetensors("{\"a\":" + entry + "}", std::string(bytes, 'x'));
}

TEST(Safetensors, TensorsArriveWithNameTypeShapeAndBytes) {
  const TempDir dir;
  SafetensorsBuilder builder;
  builder.Add("z", "F32", {2, 1}, "01234567").Add("a", "BF16", {3}, "abcdef").Add("scalar", "F16", {}, "gh");
  builder.Add("empty", "F32", {0, 5}, "");
  builder.header()["__metadata__"] = {{"format", "pt"}};
  const auto file = SafetensorsFile::Open(dir.Write("w.safetensors", builder.Build()));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 4u);
  const HostTensor& z = file->tensors()[0];
  EXPECT_EQ(z.name, "z");
  EXPECT_EQ(z.dtype, DType::kF32);
  EXPECT_THAT(z.shape, ElementsAre(2, 1));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(z.bytes.data()), z.bytes.size()), "01234567");
  EXPECT_EQ(file->tensors()[1].dtype, DType::kBF16);
  EXPECT_EQ(file->tensors()[1].bytes.size(), 6u);
  EXPECT_EQ(file->tensors()[2].dtype, DType::kF16);
  EXPECT_THAT(file->tensors()[2].shape, IsEmpty());
  EXPECT_EQ(file->tensors()[3].name, "empty");
  EXPECT_THAT(file->tensors()[3].bytes, IsEmpty());
}

TEST(Safetensors, BytesOutliveTheObjectTheyWereReadThroughWhenMoved) {
  const TempDir dir;
  auto file =
      SafetensorsFile::Open(dir.Write("w.safetensors", SafetensorsBuilder().Add("a", "F32", {1}, "0123").Build()));
  ASSERT_TRUE(file.ok());
  const SafetensorsFile moved = *std::move(file);
  EXPECT_EQ(static_cast<char>(moved.tensors()[0].bytes[3]), '3');
}

TEST(Safetensors, PaddedHeadersAndFilesWithoutTensorsAreValid) {
  EXPECT_TRUE(ParseHeader(RawSafetensors("{}     ", "")).ok());
  EXPECT_TRUE(ParseHeader(RawSafetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )", "x")).ok());
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string file = SafetensorsBuilder().AddF32("first", {3, 2}).AddF32("second", {5}).Build();
  ASSERT_TRUE(ParseHeader(file).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(ParseHeader(file.substr(0, size)).status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST(Safetensors, AnyByteOfTheHeaderMayBeWrong) {
  const std::string file = SafetensorsBuilder().AddF32("first", {3, 2}).AddF32("second", {5}).Build();
  std::mt19937 random(1);
  const size_t header_end = file.size() - (6 + 5) * 4;
  for (int round = 0; round < 20000; ++round) {
    std::string broken = file;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      broken[random() % header_end] = static_cast<char>(random());
    }
    const auto entries = ParseHeader(broken);  // refused, or still within the file
    if (!entries.ok()) continue;
    for (const auto& entry : *entries) EXPECT_LE(entry.end, broken.size());
  }
}

TEST(Safetensors, HeaderLengthBeyondFileOrLimitIsRefused) {
  for (uint64_t length :
       {uint64_t{3}, uint64_t{1} << 24, uint64_t{1} << 32, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7}) {
    ExpectRefused(RawSafetensors(length, "{}", ""), "header length is " + std::to_string(length));
  }
  const std::string header = "{}" + std::string((16 << 20) - 1, ' ');
  ExpectRefused(RawSafetensors(header, ""), "header length is 16777217; the limit is 16777216");
}

TEST(Safetensors, HeaderMustBeAnObject) {
  for (const char* header : {"[]", "1", "\"a\"", " {}", "", "\xef\xbb\xbf{}"}) {
    ExpectRefused(RawSafetensors(header, ""), "must start with '{'");
  }
  ExpectRefused(RawSafetensors("{", ""), "not valid JSON");
  ExpectRefused(RawSafetensors("{} {}", ""), "not valid JSON");
  ExpectRefused(RawSafetensors("{\"a\":\"\xff\"}", ""), "UTF-8");
}

TEST(Safetensors, DeepNestingIsRefused) {
  std::string deep = "{\"a\":" + std::string(1'000'000, '[');
  ExpectRefused(RawSafetensors(deep, ""), "nested deeper than");
}

TEST(Safetensors, DuplicateNamesAreRefused) {
  const std::string entry = R"("twin":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  ExpectRefused(RawSafetensors("{" + entry + "," + entry + "}", "0123"), "\"twin\" appears twice");
  ExpectRefused(OneTensor(R"({"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]})", 4),
                "\"shape\" appears twice");
}

TEST(Safetensors, EntriesMustHaveTheirThreeKeysAndNoOther) {
  ExpectRefused(OneTensor("[]", 0), "tensor \"a\" is not described by an object");
  ExpectRefused(OneTensor(R"({"shape":[1],"data_offsets":[0,4]})", 4), "tensor \"a\" has no dtype");
  ExpectRefused(OneTensor(R"({"dtype":"F32","data_offsets":[0,4]})", 4), "tensor \"a\" has no shape");
  ExpectRefused(OneTensor(R"({"dtype":"F32","shape":[1]})", 4), "tensor \"a\" has no data_offsets");
  ExpectRefused(OneTensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1})", 4), "unknown key \"more\"");
}

TEST(Safetensors, UnknownElementTypesAreRefusedByName) {
  ExpectRefused(OneTensor(R"({"dtype":"F31","shape":[1],"data_offsets":[0,4]})", 4), "unknown dtype \"F31\"");
  ExpectRefused(OneTensor(R"({"dtype":"f32","shape":[1],"data_offsets":[0,4]})", 4), "unknown dtype \"f32\"");
  ExpectRefused(OneTensor(R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})", 4), "unknown dtype 32");
}

TEST(Safetensors, WeightsOfOtherElementTypesAreRefusedByName) {
  const TempDir dir;
  for (const char* dtype : {"F64", "I64", "F8_E4M3", "U8", "BOOL"}) {
    const size_t bytes = dtype[1] == '6' ? 8 : 1;
    const auto file = SafetensorsFile::Open(
        dir.Write("w.safetensors", SafetensorsBuilder().Add("a", dtype, {1}, std::string(bytes, 'x')).Build()));
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(std::string("tensor \"a\" has dtype ") + dtype));
  }
}

TEST(Safetensors, ShapesMustBeListsOfSizes) {
  for (const char* shape : {"1", "\"1\"", "{}", "[-1]", "[1.0]", "[\"1\"]", "[true]", "[null]", "[[1]]",
                            "[9223372036854775808]", "[1e3]", "[1,1,1,1,1,1,1,1,1]"}) {
    ExpectRefused(OneTensor(std::string(R"({"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,4]})", 4),
                  "tensor \"a\" has shape");
  }
}

TEST(Safetensors, ShapesWhoseSizeOverflowsAreRefused) {
  for (const char* shape :
       {"[4611686018427387904]", "[4294967296,4294967296]", "[9223372036854775807,2]", "[4294967296,2147483648,2]"}) {
    ExpectRefused(OneTensor(std::string(R"({"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,0]})", 0),
                  "its size overflows");
  }
}

TEST(Safetensors, OffsetsMustBeTwoAscendingPositionsInTheFile) {
  for (const char* offsets : {"4", "[0]", "[0,4,4]", "[-4,0]", "[0.0,4.0]", "[\"0\",\"4\"]", "[4,0]", "[0,5]",
                              "[0,18446744073709551615]", "[18446744073709551612,18446744073709551615]"}) {
    ExpectRefused(OneTensor(std::string(R"({"dtype":"F32","shape":[1],"data_offsets":)") + offsets + "}", 4),
                  "tensor \"a\" has data_offsets");
  }
}

TEST(Safetensors, OffsetsMustMatchTypeAndShape) {
  ExpectRefused(OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4), "F32 [2] takes 8");
  ExpectRefused(OneTensor(R"({"dtype":"BF16","shape":[2],"data_offsets":[0,8]})", 8), "BF16 [2] takes 4");
  ExpectRefused(OneTensor(R"({"dtype":"F32","shape":[0],"data_offsets":[0,4]})", 4), "F32 [0] takes 0");
  ExpectRefused(OneTensor(R"({"dtype":"F32","shape":[],"data_offsets":[0,0]})", 0), "F32 [] takes 4");
}

TEST(Safetensors, OverlapsAndHolesAreRefusedByName) {
  const auto two = [](const std::string& a, const std::string& b, size_t bytes) {
    return RawSafetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
                              R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}",
                          std::string(bytes, 'x'));
  };
  EXPECT_TRUE(ParseHeader(two("[4,8]", "[0,4]", 8)).ok());
  ExpectRefused(two("[0,4]", "[0,4]", 4), "tensor \"b\" overlaps 4 bytes of \"a\"");
  ExpectRefused(two("[0,4]", "[2,6]", 6), "tensor \"b\" overlaps 2 bytes of \"a\"");
  ExpectRefused(two("[0,4]", "[5,9]", 9), "tensor \"b\" leaves a hole of 1 bytes");
  ExpectRefused(two("[1,5]", "[5,9]", 9), "tensor \"a\" leaves a hole of 1 bytes");
  ExpectRefused(two("[0,4]", "[4,8]", 9), "1 bytes after the last tensor");
}

TEST(Safetensors, MetadataMustBeStrings) {
  for (const char* metadata : {"[]", "\"pt\"", R"({"a":1})", R"({"a":{}})"}) {
    ExpectRefused(RawSafetensors(std::string(R"({"__metadata__":)") + metadata + "}", ""), "__metadata__");
  }
}

TEST(Safetensors, FilesThatCannotBeReadSayWhy) {
  const TempDir dir;
  const auto missing = SafetensorsFile::Open(dir.file("none.safetensors"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("none.safetensors"));
  EXPECT_EQ(SafetensorsFile::Open(dir.path()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SafetensorsFile::Open(dir.Write("w", "")).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace barista

#include "tests/text/support.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "server/text/detokenizer.h"

namespace barista {
namespace {

void Require(bool condition, std::string_view message) {
  if (condition) return;
  std::cerr << message << '\n';
  std::exit(1);
}

}  // namespace

std::string DataPath(const std::string& name) { return "tests/text/data/" + name + ".json"; }

std::string ReadFileOrDie(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Require(in.good(), "cannot open " + path);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

std::unique_ptr<Tokenizer> LoadOrDie(const std::string& name) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(DataPath(name));
  Require(tokenizer.ok(), tokenizer.status().ToString());
  return *std::move(tokenizer);
}

LibraryDecoder::LibraryDecoder(const std::string& name) {
  const std::string json = ReadFileOrDie(DataPath(name));
  const barista_text_string error =
      barista_text_create(reinterpret_cast<const uint8_t*>(json.data()), json.size(), &handle_);
  Require(error.data == nullptr, "cannot create " + name);
}

LibraryDecoder::~LibraryDecoder() { barista_text_destroy(handle_); }

std::string LibraryDecoder::Decode(absl::Span<const int32_t> ids) const {
  const std::vector<uint32_t> unsigned_ids(ids.begin(), ids.end());
  barista_text_string text;
  const barista_text_string error = barista_text_decode(handle_, unsigned_ids.data(), unsigned_ids.size(), true, &text);
  Require(error.data == nullptr, "cannot decode");
  const std::string result(reinterpret_cast<const char*>(text.data), text.size);
  barista_text_string_free(text);
  return result;
}

std::vector<std::string> StreamPieces(const Tokenizer& tokenizer, absl::Span<const int32_t> ids) {
  Detokenizer detokenizer(tokenizer);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(detokenizer.Push(id));
  pieces.push_back(detokenizer.Flush());
  return pieces;
}

std::string Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

std::string EncodeCodePoint(uint32_t c) {
  const auto byte = [](uint32_t value) { return static_cast<char>(value); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
}

}  // namespace barista

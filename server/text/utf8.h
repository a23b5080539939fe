// UTF-8 as RFC 3629 and the Unicode standard define it: no overlong forms, no surrogates, nothing above U+10FFFF.
// Pure functions, any thread.
#ifndef BARISTA_SERVER_TEXT_UTF8_H_
#define BARISTA_SERVER_TEXT_UTF8_H_

#include <cstddef>
#include <string_view>

namespace barista {

// U+FFFD, what an ill-formed sequence decodes to.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// What a run of bytes starts with.
struct Utf8Unit {
  enum class Kind {
    kCharacter,   // one whole character
    kIllFormed,   // a maximal ill-formed part: one U+FFFD stands for it (Unicode 15, section 3.9, as browsers and Rust
                  // do)
    kIncomplete,  // the run ends inside a character that is well-formed so far
  };
  Kind kind;
  size_t size;  // bytes, 1 to 4; at most 3 unless kCharacter
};

// `bytes` must not be empty.
Utf8Unit NextUtf8Unit(std::string_view bytes);

// Byte offset of the first sequence that is ill-formed or cut off at the end; std::string_view::npos if all is valid.
size_t FirstInvalidUtf8(std::string_view bytes);

}  // namespace barista

#endif  // BARISTA_SERVER_TEXT_UTF8_H_

// The C interface of the Rust crate barista_text: Hugging Face `tokenizers` as a static library.
//
// A tokenizer is immutable once created: any number of threads may call every function on it at once, except destroy.
// Fallible functions return an error text: data == NULL means success, anything else is UTF-8 (no terminator) that the
// caller frees with barista_text_string_free; the out argument is then untouched. A panic in Rust is caught and
// returned as such an error. Inputs are borrowed for the call; a pointer may be NULL where its size is 0.
// server/text/tokenizer.h wraps all of it; nothing else should include this file.
#ifndef BARISTA_SERVER_TEXT_BARISTA_TEXT_BARISTA_TEXT_H_
#define BARISTA_SERVER_TEXT_BARISTA_TEXT_BARISTA_TEXT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct barista_text_tokenizer barista_text_tokenizer;

// Owned by the caller, who gives it back to barista_text_string_free.
typedef struct {
  uint8_t* data;
  size_t size;  // bytes
} barista_text_string;

// Owned by the caller, who gives it back to barista_text_ids_free.
typedef struct {
  uint32_t* data;
  size_t size;  // ids
} barista_text_ids;

// What one token adds to the text: raw bytes, which may be a part of a UTF-8 character. Owned by the tokenizer.
typedef struct {
  const uint8_t* first;  // as the first token of a text
  size_t first_size;     // bytes
  const uint8_t* next;   // after another token
  size_t next_size;      // bytes
  bool special;          // a special token: left out of decoded text
} barista_text_piece_view;

// Reads the bytes of a tokenizer.json; *out is for barista_text_destroy. The file's own truncation and padding are
// ignored. Refused: a file the library cannot read, an empty vocabulary, ids of 2^22 or more, BPE dropout, and decoders
// whose text for a token depends on later tokens (CTC, BPEDecoder, work on fused text other than stripping the start).
barista_text_string barista_text_create(const uint8_t* json, size_t size, barista_text_tokenizer** out);

// NULL is allowed.
void barista_text_destroy(barista_text_tokenizer* tokenizer);

// Token ids of `text`, which must be UTF-8. Special tokens written in the text are recognised; with add_special_tokens
// the file's template (for instance a begin token) is added as well.
barista_text_string barista_text_encode(const barista_text_tokenizer* tokenizer, const uint8_t* text, size_t size,
                                        bool add_special_tokens, barista_text_ids* out);

// The library's own text for a whole sequence; unknown ids are left out. The server streams by pieces instead and its
// tests hold the two against each other.
barista_text_string barista_text_decode(const barista_text_tokenizer* tokenizer, const uint32_t* ids, size_t size,
                                        bool skip_special_tokens, barista_text_string* out);

// Largest id plus one, added tokens included. Not every id below it need exist.
size_t barista_text_vocab_size(const barista_text_tokenizer* tokenizer);

// False where no token has this id.
bool barista_text_piece(const barista_text_tokenizer* tokenizer, uint32_t id, barista_text_piece_view* out);

// False where the vocabulary has no such token. `token` is spelt as in the file (byte-level alphabets included).
bool barista_text_token_to_id(const barista_text_tokenizer* tokenizer, const uint8_t* token, size_t size,
                              uint32_t* out);

// An empty value is allowed.
void barista_text_string_free(barista_text_string text);
void barista_text_ids_free(barista_text_ids ids);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // BARISTA_SERVER_TEXT_BARISTA_TEXT_BARISTA_TEXT_H_

//! Hugging Face `tokenizers` behind the C interface of barista_text.h, where each function's contract stands.

mod guard;
mod pieces;

use std::slice;

use guard::guard;
use pieces::Piece;
use tokenizers::{ModelWrapper, Tokenizer};

pub struct BaristaTokenizer {
    tokenizer: Tokenizer,
    pieces: Vec<Option<Piece>>,
}

impl BaristaTokenizer {
    fn from_json(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        // A file may ask for prompts to be cut or filled up in silence; a server must do neither.
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        if let ModelWrapper::BPE(model) = tokenizer.get_model() {
            if let Some(dropout) = model.dropout.filter(|&dropout| dropout != 0.0) {
                return Err(format!("model.dropout {dropout} makes encoding random: it must be null or 0"));
            }
        }
        let pieces = pieces::build(&tokenizer)?;
        if pieces.is_empty() {
            return Err("the vocabulary is empty".to_string());
        }
        Ok(Self { tokenizer, pieces })
    }
}

/// Owned bytes; data is null when there are none to free.
#[repr(C)]
pub struct BaristaString {
    data: *mut u8,
    size: usize,
}

impl BaristaString {
    const NONE: Self = Self { data: std::ptr::null_mut(), size: 0 };

    fn new(text: String) -> Self {
        let bytes = Box::leak(text.into_bytes().into_boxed_slice());
        Self { data: bytes.as_mut_ptr(), size: bytes.len() }
    }

    /// None for success; an error always has a text, so that it cannot look like success.
    fn error_of(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::NONE,
            Err(error) if error.is_empty() => Self::new("unknown error".to_string()),
            Err(error) => Self::new(error),
        }
    }
}

#[repr(C)]
pub struct BaristaIds {
    data: *mut u32,
    size: usize,
}

#[repr(C)]
pub struct BaristaPiece {
    first: *const u8,
    first_size: usize,
    next: *const u8,
    next_size: usize,
    special: bool,
}

/// C callers may pass null with size 0, which a Rust slice may not hold.
unsafe fn view<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        &[]
    } else {
        slice::from_raw_parts(data, size)
    }
}

/// # Safety
/// As barista_text.h says, here and below.
#[no_mangle]
pub unsafe extern "C" fn barista_text_create(
    json: *const u8,
    size: usize,
    out: *mut *mut BaristaTokenizer,
) -> BaristaString {
    BaristaString::error_of(guard(|| {
        let tokenizer = BaristaTokenizer::from_json(view(json, size))?;
        *out = Box::into_raw(Box::new(tokenizer));
        Ok(())
    }))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_destroy(tokenizer: *mut BaristaTokenizer) {
    if !tokenizer.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(tokenizer));
            Ok(())
        });
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_encode(
    tokenizer: *const BaristaTokenizer,
    text: *const u8,
    size: usize,
    add_special_tokens: bool,
    out: *mut BaristaIds,
) -> BaristaString {
    BaristaString::error_of(guard(|| {
        let text = std::str::from_utf8(view(text, size)).map_err(|error| error.to_string())?;
        let encoding =
            (*tokenizer).tokenizer.encode_fast(text, add_special_tokens).map_err(|error| error.to_string())?;
        let ids = Box::leak(encoding.get_ids().to_vec().into_boxed_slice());
        *out = BaristaIds { data: ids.as_mut_ptr(), size: ids.len() };
        Ok(())
    }))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_decode(
    tokenizer: *const BaristaTokenizer,
    ids: *const u32,
    size: usize,
    skip_special_tokens: bool,
    out: *mut BaristaString,
) -> BaristaString {
    BaristaString::error_of(guard(|| {
        let text =
            (*tokenizer).tokenizer.decode(view(ids, size), skip_special_tokens).map_err(|error| error.to_string())?;
        *out = BaristaString::new(text);
        Ok(())
    }))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_vocab_size(tokenizer: *const BaristaTokenizer) -> usize {
    (*tokenizer).pieces.len()
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_piece(
    tokenizer: *const BaristaTokenizer,
    id: u32,
    out: *mut BaristaPiece,
) -> bool {
    let tokenizer = &*tokenizer;
    match tokenizer.pieces.get(id as usize) {
        Some(Some(piece)) => {
            *out = BaristaPiece {
                first: piece.first.as_ptr(),
                first_size: piece.first.len(),
                next: piece.next.as_ptr(),
                next_size: piece.next.len(),
                special: piece.special,
            };
            true
        }
        _ => false,
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_token_to_id(
    tokenizer: *const BaristaTokenizer,
    token: *const u8,
    size: usize,
    out: *mut u32,
) -> bool {
    let id = guard(|| {
        let token = std::str::from_utf8(view(token, size)).map_err(|error| error.to_string())?;
        Ok((*tokenizer).tokenizer.token_to_id(token))
    });
    match id {
        Ok(Some(id)) => {
            *out = id;
            true
        }
        _ => false,
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_string_free(text: BaristaString) {
    if !text.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(text.data, text.size)));
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn barista_text_ids_free(ids: BaristaIds) {
    if !ids.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(ids.data, ids.size)));
    }
}

//! What each token id adds to the output text, computed once at load.
//!
//! A decoder of a language model's tokenizer gives every token a fixed text that depends on nothing but whether the token
//! is the first one. Knowing both texts as raw bytes makes streaming a table look-up: no window of past ids, and a
//! character cut in two by a token border stays two runs of bytes until they are joined.

use tokenizers::{Decoder, DecoderWrapper, Tokenizer};

/// Ids at or above this are refused, so that one absurd id cannot make the table absurd.
pub const ID_LIMIT: usize = 1 << 22;

#[derive(Clone, Default)]
pub struct Piece {
    /// Bytes of the token at the start of a text, and after other tokens.
    pub first: Vec<u8>,
    pub next: Vec<u8>,
    /// A special token: kept out of decoded text.
    pub special: bool,
}

/// One entry an id; None where the vocabulary has no such id.
pub fn build(tokenizer: &Tokenizer) -> Result<Vec<Option<Piece>>, String> {
    let form = Form::of(tokenizer.get_decoder())?;
    let vocabulary = tokenizer.get_vocab(true);
    let end = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
    if end > ID_LIMIT {
        return Err(format!("token id {} is out of range: the limit is {}", end - 1, ID_LIMIT - 1));
    }
    let mut pieces = vec![None; end];
    for (content, &id) in &vocabulary {
        // An added token may decode through a normalised form; id_to_token knows it.
        let Some(token) = tokenizer.id_to_token(id) else { continue };
        let special = tokenizer.get_added_vocabulary().is_special_token(&token);
        let (first, next) = form.bytes(&token).map_err(|error| format!("token {id} ({content:?}): {error}"))?;
        pieces[id as usize] = Some(Piece { first, next, special });
    }
    Ok(pieces)
}

enum Form<'a> {
    /// Every character of the vocabulary stands for one byte.
    ByteLevel(Vec<Option<u8>>),
    /// Text a token, perhaps with `<0xNN>` tokens that stand for one byte.
    Text { decoder: Option<&'a DecoderWrapper>, byte_fallback: bool },
}

impl<'a> Form<'a> {
    fn of(decoder: Option<&'a DecoderWrapper>) -> Result<Self, String> {
        let mut stages = Vec::new();
        flatten(decoder, &mut stages);
        let byte_level = stages.iter().any(|stage| matches!(stage, DecoderWrapper::ByteLevel(_)));
        if byte_level
            && stages.iter().all(|stage| matches!(stage, DecoderWrapper::ByteLevel(_) | DecoderWrapper::Fuse(_)))
        {
            return Ok(Form::ByteLevel(byte_of_char()));
        }
        let mut fused = false;
        let mut byte_fallback = false;
        for stage in &stages {
            let fits = match stage {
                DecoderWrapper::Fuse(_) => true,
                DecoderWrapper::Replace(_) | DecoderWrapper::Metaspace(_) | DecoderWrapper::WordPiece(_) => !fused,
                DecoderWrapper::ByteFallback(_) => !fused,
                DecoderWrapper::Strip(strip) => !fused || (strip.start <= 1 && strip.stop == 0),
                _ => false,
            };
            if !fits {
                return Err(format!(
                    "decoder {} cannot be streamed here: a token's text must depend on no token after it",
                    kind(stage)
                ));
            }
            fused |= matches!(stage, DecoderWrapper::Fuse(_));
            byte_fallback |= matches!(stage, DecoderWrapper::ByteFallback(_));
        }
        Ok(Form::Text { decoder, byte_fallback })
    }

    fn bytes(&self, token: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
        match self {
            Form::ByteLevel(byte_of) => {
                // As the library does: a token with any other character (an added token) is its own text.
                let bytes: Option<Vec<u8>> =
                    token.chars().map(|c| byte_of.get(c as usize).copied().flatten()).collect();
                let bytes = bytes.unwrap_or_else(|| token.as_bytes().to_vec());
                Ok((bytes.clone(), bytes))
            }
            Form::Text { decoder, byte_fallback } => {
                if let Some(byte) = byte_token(token).filter(|&byte| *byte_fallback && byte >= 0x80) {
                    return Ok((vec![byte], vec![byte]));
                }
                const BEFORE: &str = "a"; // any token with text
                let before = decode(*decoder, vec![BEFORE.into()])?;
                let first = decode(*decoder, vec![token.into()])?;
                let both = decode(*decoder, vec![BEFORE.into(), token.into()])?;
                let next = both.strip_prefix(&before).ok_or("its text changes the text of the token before it")?;
                Ok((first.into_bytes(), next.as_bytes().to_vec()))
            }
        }
    }
}

fn flatten<'a>(decoder: Option<&'a DecoderWrapper>, stages: &mut Vec<&'a DecoderWrapper>) {
    match decoder {
        Some(DecoderWrapper::Sequence(sequence)) => {
            sequence.get_decoders().iter().for_each(|stage| flatten(Some(stage), stages));
        }
        Some(stage) => stages.push(stage),
        None => {}
    }
}

fn kind(stage: &DecoderWrapper) -> String {
    let debug = format!("{stage:?}");
    debug.split('(').next().unwrap_or_default().to_string()
}

/// Without a decoder the library joins tokens by spaces.
fn decode(decoder: Option<&DecoderWrapper>, tokens: Vec<String>) -> Result<String, String> {
    match decoder {
        Some(decoder) => decoder.decode(tokens).map_err(|error| error.to_string()),
        None => Ok(tokens.join(" ")),
    }
}

fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// GPT-2's byte alphabet: printable Latin-1 bytes stand for themselves, the others for characters from 256 upwards.
fn byte_of_char() -> Vec<Option<u8>> {
    let mut table = vec![None; 512];
    let mut other = 256;
    for byte in 0..=255u8 {
        let own = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let index = if own { byte as usize } else { other };
        other += usize::from(!own);
        table[index] = Some(byte);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_byte_alphabet_is_the_librarys() {
        let ours: Vec<usize> = (0..512).filter(|&c| byte_of_char()[c].is_some()).collect();
        let mut theirs: Vec<usize> = ByteLevel::alphabet().into_iter().map(|c| c as usize).collect();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn byte_tokens_have_two_hexadecimal_digits() {
        assert_eq!(byte_token("<0xE2>"), Some(0xE2));
        for token in ["<0x1>", "<0xE22>", "<0xZZ>", "0xE2", "<0xE2"] {
            assert_eq!(byte_token(token), None);
        }
    }
}

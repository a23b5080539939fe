"""Writes tokenizer.json (Hugging Face's format) for the vocabularies that the authors trained with."""

import json
import warnings
from pathlib import Path
from typing import NamedTuple

from .errors import ConvertError

# Their byte tokenizer numbers its special tokens in this order, their character tokenizer in the other.
_BYTE_SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
_CHARACTER_SPECIALS = ("<unk>", "<pad>", "<bos>", "<eos>")
BYTE_VOCABULARY = 256 + len(_BYTE_SPECIALS)


class Tokenizer(NamedTuple):
    name: str  # For people: "bytes", "chars", or the file it was copied from.
    json: str
    eos_token_id: int | None
    pad_token_id: int | None


def make_tokenizer(choice: str | None, vocabulary: int) -> Tokenizer | None:
    """`choice` is the value of --tokenizer, None where it was not given: then bytes if the size fits, else none."""
    if choice is None and vocabulary != BYTE_VOCABULARY:
        warnings.warn(f"no tokenizer: the checkpoint does not name one, and its vocabulary of {vocabulary} is not that "
                      f"of bytes ({BYTE_VOCABULARY}); the model will serve token ids only. See --tokenizer")
        return None
    if choice in (None, "bytes"):
        tokenizer = _tokenizer("bytes", _bytes())
    elif choice.startswith("chars:"):
        tokenizer = _tokenizer("chars", _characters(_read_entries(Path(choice.removeprefix("chars:")))))
    elif choice.endswith(".json"):
        tokenizer = _copy(Path(choice))
    else:
        raise ConvertError(f"--tokenizer: {choice!r}; expected bytes, chars:FILE or PATH.json")
    _check_size(tokenizer, vocabulary)
    return tokenizer


def _bytes() -> dict:
    """Byte-level BPE without merges: every byte is a token, and its id is its value."""
    stage = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": {letter: byte for byte, letter in enumerate(_byte_alphabet())}, "merges": []}
    return _document(list(enumerate(_BYTE_SPECIALS, 256)), stage, stage, model)


def _byte_alphabet() -> list[str]:
    """Printable stand-ins that byte-level tokenizers use: visible Latin-1 stays, the rest moves to U+0100 onwards."""
    visible = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    alphabet, moved = [], 0
    for byte in range(256):
        alphabet.append(chr(byte if byte in visible else 0x100 + moved))
        moved += byte not in visible
    return alphabet


def _characters(entries: list[str]) -> dict:
    specials = [(i, entry) for i, entry in enumerate(entries) if len(entry) > 1]
    model = {"type": "WordLevel", "vocab": {entry: i for i, entry in enumerate(entries)}, "unk_token": "<unk>"}
    split = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
    return _document(specials, split, {"type": "Fuse"}, model)


def _read_entries(file: Path) -> list[str]:
    """Entries in id order: a JSON list of them all, or the distinct characters of a text, sorted, then the specials."""
    try:
        # Bytes first: text mode would turn "\r\n" into "\n" and lose a character of the vocabulary.
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConvertError(f"--tokenizer: {file}: cannot be read as UTF-8 text: {error}") from None
    if file.suffix != ".json":
        return [*sorted(set(text)), *_CHARACTER_SPECIALS]
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ConvertError(f"--tokenizer: {file}: not JSON: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
        raise ConvertError(f"--tokenizer: {file}: expected one list of non-empty strings")
    if len(set(entries)) != len(entries):
        raise ConvertError(f"--tokenizer: {file}: {next(e for e in entries if entries.count(e) > 1)!r} is there twice")
    return entries


def _copy(file: Path) -> Tokenizer:
    try:
        text = file.read_bytes().decode("utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConvertError(f"--tokenizer: {file}: cannot be read as JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        raise ConvertError(f"--tokenizer: {file}: not a tokenizer.json (no object \"model\")")
    return _tokenizer(str(file), document)._replace(json=text)


def _document(specials: list[tuple[int, str]], pre_tokenizer: dict, decoder: dict, model: dict) -> dict:
    added = [{"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, content in specials]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": decoder, "model": model}


def _tokenizer(name: str, document: dict) -> Tokenizer:
    added = [token for token in document.get("added_tokens") or [] if isinstance(token, dict)]
    ids = {token.get("content"): token.get("id") for token in added}
    eos = next((ids[content] for content in ("<eos>", "<|endoftext|>", "</s>") if content in ids), None)
    return Tokenizer(name, json.dumps(document, ensure_ascii=False, indent=1) + "\n", eos, ids.get("<pad>"))


def _check_size(tokenizer: Tokenizer, vocabulary: int) -> None:
    document = json.loads(tokenizer.json)
    try:
        entries = document["model"]["vocab"]
        ids = list(entries.values()) if isinstance(entries, dict) else list(range(len(entries)))  # Unigram has a list.
        ids += [token["id"] for token in document.get("added_tokens") or []]
        size = max(ids, default=-1) + 1
    except (KeyError, TypeError):
        raise ConvertError(f"tokenizer {tokenizer.name}: its vocab or added_tokens are not "
                           "those of a tokenizer.json") from None
    if size != vocabulary:
        message = f"tokenizer {tokenizer.name} has {size} entries, the model's vocabulary {vocabulary}"
        if size > vocabulary or tokenizer.name in ("bytes", "chars"):
            raise ConvertError(message)
        warnings.warn(message)

"""Writes the tokenizers of the text tests and golden.json, what the Python package says about them.

    pip install tokenizers==0.23.3
    python3 tests/text/data/make_tokenizers.py

byte_bpe.json     byte-level BPE in GPT-2's manner, with a special token and an added token that is not special
bytes.json        raw bytes: the id is the byte
chars.json        one character a token
byte_fallback.json  SentencePiece's manner: words with a leading bar, unknown characters as <0xNN> tokens
word_piece.json   BERT's manner: "##" continues a word
"""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
ALPHABET = "abcdefghijklmnopqrstuvwxyz"

SAMPLE = [
    "The barista pulls a short espresso, steams the milk and pours a latte; the queue moves on.",
    "A macchiato is an espresso with a spot of milk. Can't you taste it? We've made 1,234 of them today!",
    "def pour(cup, milk=None):\n    for layer in range(12):\n        cup[layer] += milk[layer]\n    return cup\n",
    "Ein großer Kaffee kostet 4,50 €. Größe und Süße täuschen; über Öl spricht niemand.",
    "Чашка кофе стоит сто рублей, а чай ещё дешевле.",
    "一杯咖啡,一杯拿铁,一杯茶。今日は良い天気ですね。コーヒーをください。 커피 한 잔 주세요.",
    "☕🥛🙂🙂🙃😀😁👩‍💻👨‍👩‍👧‍👦🇩🇪🇯🇵 ☕🥛🙂 𝒂𝒃𝒄 𝒂𝒃",
]


def byte_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator(SAMPLE * 4, trainer)
    tokenizer.add_tokens([AddedToken("<tool ☕>", normalized=False)])
    return tokenizer


def byte_alphabet():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    table = {byte: chr(byte) for byte in own} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [table[byte] for byte in range(256)]


def raw_bytes():
    tokenizer = Tokenizer(models.BPE({char: byte for byte, char in enumerate(byte_alphabet())}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<pad>", "<unk>", "<bos>", "<eos>"])
    return tokenizer


def chars():
    symbols = sorted(set(ALPHABET + ALPHABET.upper() + "0123456789 .,\n\u00e9\u20ac\u2615\U0001F642\uFFFD"))
    vocabulary = {"<unk>": 0} | {symbol: i + 1 for i, symbol in enumerate(symbols)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def byte_fallback():
    bar = "\u2581"
    vocabulary = {"<unk>": 0} | {f"<0x{byte:02X}>": 1 + byte for byte in range(256)}
    merges = []

    def add(token):
        vocabulary.setdefault(token, len(vocabulary))

    for symbol in bar + ALPHABET + ".,\u00e9":
        add(symbol)
    for word in [bar + bar, bar + "milk", bar + "latte", "ing", "er"]:
        for end in range(2, len(word) + 1):
            if (word[:end - 1], word[end - 1]) not in merges:
                merges.append((word[:end - 1], word[end - 1]))
            add(word[:end])
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(bar), normalizers.Replace(" ", bar)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(bar, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


def word_piece():
    words = ["[UNK]", "[CLS]", "milk", "latte", "espresso", "##s", "##d", "##ing", "pour", "steam", "a", "the", ".", ","]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens(["[CLS]"])
    return tokenizer


CASES = {
    "byte_bpe": SAMPLE + ["", " ", "a<|endoftext|>b", "x <tool ☕> y", "\uFFFD \u0000\u007f", "🏳️‍🌈"],
    "bytes": SAMPLE + ["", "\U0010FFFF\u0800\u0080\u007F"],
    "chars": ["", "Hello, caf\u00e9 \u2615\U0001F642.\n 4 \u20ac \uFFFD"],
    "byte_fallback": ["", "milk", "a latte,  milking \u2615 caf\u00e9 \U0001F642\U0001F642.", " milk", "   x"],
    "word_piece": ["", "steamed milk, pouring the lattes.", "a. a , the"],
}


def main():
    golden = []
    for make in (byte_bpe, raw_bytes, chars, byte_fallback, word_piece):
        tokenizer = make()
        name = {"raw_bytes": "bytes"}.get(make.__name__, make.__name__)
        (HERE / f"{name}.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
        for text in CASES[name]:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            decoded = tokenizer.decode(ids, skip_special_tokens=True)
            golden.append({"tokenizer": name, "text": text, "ids": ids, "decoded": decoded})
    lines = ",\n".join(json.dumps(case) for case in golden)
    (HERE / "golden.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()

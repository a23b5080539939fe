"""tokenizer.json as the Hugging Face library reads it."""

import json

import pytest
from tokenizers import Tokenizer

from barista.convert.errors import ConvertError
from barista.convert.tokenizers import make_tokenizer


def loaded(choice, vocabulary):
    made = make_tokenizer(choice, vocabulary)
    return Tokenizer.from_str(made.json), made


def test_bytes_ids_are_the_byte_values():
    tokenizer, made = loaded("bytes", 260)
    text = "".join(map(chr, range(256))) + "é€😀\r\n\u2028 a  b"
    assert tokenizer.encode(text).ids == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text
    assert [tokenizer.id_to_token(i) for i in range(256, 260)] == ["<pad>", "<unk>", "<bos>", "<eos>"]
    assert (made.pad_token_id, made.eos_token_id) == (256, 259)


def test_bytes_are_the_default_for_260_entries():
    assert make_tokenizer(None, 260) == make_tokenizer("bytes", 260)


def test_no_tokenizer_for_other_sizes_and_a_warning():
    with pytest.warns(UserWarning, match="no tokenizer: .* vocabulary of 50257"):
        assert make_tokenizer(None, 50257) is None


def test_characters_of_a_text_are_numbered_in_code_point_order_then_the_specials(tmp_path):
    (tmp_path / "text").write_bytes("ba\r\n é😀a".encode())
    tokenizer, made = loaded(f"chars:{tmp_path / 'text'}", 11)
    assert tokenizer.encode("\n\r abé😀").ids == [0, 1, 2, 3, 4, 5, 6]
    assert tokenizer.encode("axb").ids == [3, 7, 4]
    assert [tokenizer.id_to_token(i) for i in range(7, 11)] == ["<unk>", "<pad>", "<bos>", "<eos>"]
    assert tokenizer.decode([4, 3, 2, 6, 0]) == "ba 😀\n"
    assert (made.pad_token_id, made.eos_token_id) == (8, 10)


def test_characters_of_a_list_have_its_order(tmp_path):
    (tmp_path / "vocabulary.json").write_text(json.dumps(["<unk>", "<eos>", "z", "a"]))
    tokenizer, made = loaded(f"chars:{tmp_path / 'vocabulary.json'}", 4)
    assert tokenizer.encode("az?").ids == [3, 2, 0]
    assert (made.pad_token_id, made.eos_token_id) == (None, 1)


def test_file_is_copied_as_it_is(tmp_path):
    file = tmp_path / "t.json"
    file.write_text(make_tokenizer("bytes", 260).json + "\n\n")
    assert make_tokenizer(str(file), 260).json == file.read_text()


def test_copied_tokenizer_smaller_than_the_vocabulary_warns(tmp_path):
    (tmp_path / "t.json").write_text(make_tokenizer("bytes", 260).json)
    with pytest.warns(UserWarning, match="has 260 entries, the model's vocabulary 300"):
        make_tokenizer(str(tmp_path / "t.json"), 300)


@pytest.mark.parametrize(("choice", "content", "vocabulary", "message"), (
    ("bytes", None, 261, "tokenizer bytes has 260 entries, the model's vocabulary 261"),
    ("gpt2", None, 260, "'gpt2'; expected bytes, chars:FILE or PATH.json"),
    ("chars:f.txt", None, 260, "cannot be read as UTF-8 text"),
    ("chars:f.txt", b"\xff", 260, "cannot be read as UTF-8 text"),
    ("chars:f.txt", b"ab", 7, "tokenizer chars has 6 entries, the model's vocabulary 7"),
    ("chars:f.json", b"{}", 260, "expected one list of non-empty strings"),
    ("chars:f.json", b'["a", ""]', 260, "expected one list of non-empty strings"),
    ("chars:f.json", b'["a", "b", "a"]', 3, "'a' is there twice"),
    ("f.json", None, 260, "cannot be read as JSON"),
    ("f.json", b"[1]", 260, "not a tokenizer.json"),
    ("f.json", b'{"model": {}}', 260, "its vocab or added_tokens are not"),
    ("f.json", b'{"model": {"vocab": {"a": "b"}}}', 260, "its vocab or added_tokens are not"),
    ("f.json", b'{"model": {"vocab": {"a": 300}}}', 260, "has 301 entries, the model's vocabulary 260"),
))
def test_refusals(tmp_path, monkeypatch, choice, content, vocabulary, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / choice.removeprefix("chars:")).write_bytes(content)
    with pytest.raises(ConvertError, match="--tokenizer|tokenizer") as error:
        make_tokenizer(choice, vocabulary)
    assert message in str(error.value)

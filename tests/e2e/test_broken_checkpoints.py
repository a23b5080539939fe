"""Checkpoints that are broken in every way: refused by name before anything is served."""
import json
import shutil
import struct

import pytest

from refusal import CONFIG, SMALL, refused


def read(directory):
    data = (directory / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + size]), data[8 + size:]


def write(directory, header, data):
    text = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def with_config(**changes):
    def spoil(directory):
        path = directory / "config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    return spoil


def with_header(change):
    def spoil(directory):
        header, data = read(directory)
        write(directory, *(change(header, data) or (header, data)))
    return spoil


def with_bytes(change, name="model.safetensors"):
    def spoil(directory):
        path = directory / name
        path.write_bytes(change(path.read_bytes()))
    return spoil


def overlap(header, data):
    """The second tensor starts where the first one does."""
    one, two = sorted((v for k, v in header.items() if k != "__metadata__"), key=lambda v: v["data_offsets"])[:2]
    length = two["data_offsets"][1] - two["data_offsets"][0]
    two["data_offsets"] = [one["data_offsets"][0], one["data_offsets"][0] + length]


def hole(header, data):
    """Four bytes before the first tensor belong to none."""
    for key, entry in header.items():
        if key != "__metadata__":
            entry["data_offsets"] = [x + 4 for x in entry["data_offsets"]]
    return header, bytes(4) + data


def drop(header, data):
    """The last tensor is another (which is unknown), so one that is required is missing."""
    last = max((k for k in header if k.endswith("_proj.weight")), key=lambda k: header[k]["data_offsets"])
    return {k + "s" if k == last else k: v for k, v in header.items()}, data


def shape(header, _):
    header["model.embed_tokens.weight"]["shape"].reverse()


def dtype(header, _):
    header["model.embed_tokens.weight"]["dtype"] = "I32"


def rename(header, _):
    header["model.embed.weight"] = header.pop("model.embed_tokens.weight")


CHECKPOINTS = {
    "truncated": (with_bytes(lambda b: b[:-1]), ["model.safetensors"]),
    "truncated-header": (with_bytes(lambda b: b[:20]), ["model.safetensors", "header"]),
    "no-bytes": (with_bytes(lambda b: b""), ["model.safetensors", "0 bytes"]),
    "trailing-bytes": (with_bytes(lambda b: b + b"x"), ["model.safetensors", "1 bytes after"]),
    "huge-header": (with_bytes(lambda b: struct.pack("<Q", 1 << 62) + b[8:]), ["model.safetensors", str(1 << 62)]),
    "header-not-json": (with_bytes(lambda b: b[:8] + b"{" * 8 + b[16:]), ["model.safetensors", "JSON"]),
    "overlap": (with_header(overlap), ["model.safetensors", "overlaps"]),
    "hole": (with_header(hole), ["model.safetensors", "hole"]),
    "missing-tensor": (with_header(drop), ["is missing"]),
    "wrong-shape": (with_header(shape), ["model.embed_tokens.weight", "shape"]),
    "wrong-dtype": (with_header(dtype), ["model.embed_tokens.weight", "I32"]),
    "unknown-tensor": (with_header(rename), ["model.embed.weight", "model.embed_tokens.weight"]),
    "no-weights": (lambda d: (d / "model.safetensors").unlink(), ["model.safetensors"]),
    "no-config": (lambda d: (d / "config.json").unlink(), ["config.json"]),
    "config-not-json": (with_bytes(lambda b: b[:-3], "config.json"), ["config.json", "JSON"]),
    "missing-key": (with_config(vocab_size=...), ["config.json", "vocab_size", "missing"]),
    "unknown-key": (with_config(hidden_sizes=5), ["config.json", "hidden_sizes", "hidden_size"]),
    "zero-size": (with_config(hidden_size=0), ["config.json", "hidden_size", "0"]),
    "huge-size": (with_config(vocab_size=1 << 40), ["config.json", "vocab_size", str(1 << 40)]),
    "text-size": (with_config(hidden_size="5"), ["config.json", "hidden_size", '"5"']),
    "layers-disagree": (with_config(num_hidden_layers=7), ["config.json", "num_hidden_layers", "7"]),
    "other-model": (with_config(model_type="llama"), ["config.json", "model_type", "llama"]),
    "other-version": (with_config(format_version=2), ["config.json", "format_version", "2"]),
    "bad-tokenizer": (lambda d: (d / "tokenizer.json").write_text("{}"), ["tokenizer.json"]),
    "bad-defaults": (lambda d: (d / "generation_config.json").write_text('{"top_p": 2}'),
                     ["generation_config.json", "top_p", "2"]),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_broken_checkpoint(tmp_path, name):
    spoil, words = CHECKPOINTS[name]
    directory = tmp_path / "model"
    shutil.copytree(SMALL, directory)
    spoil(directory)
    refused(CONFIG, *words, model=directory)


def test_no_checkpoint(tmp_path):
    refused(CONFIG, "nowhere", model=tmp_path / "nowhere")
    refused(CONFIG, "config.json", "not a directory", model=SMALL / "config.json")

#!/usr/bin/env python3
"""Writes the random models that the benchmarks run.

    python3 tests/bench/make_model.py NAME DST [--dtype=bf16|f32] [--seed=0]

Sizes are those of real models; values are such that activations and logits stay finite and of ordinary size, RG-LRU
decays lie in 0.9..0.999, and greedy text does not repeat one token. The same name, type and seed give the same bytes.
Tensors are made and written piece by piece: memory stays below 1 GB whatever the model's size. Needs NumPy only.
"""

import argparse
import json
import math
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

_PIECE = 1 << 23  # Elements made at once.

_BASE = {
    "model_type": "latte", "format_version": 1, "task": "causal_lm",
    "latent_scale": 1.0, "embedding_scale": 1.0, "value_position": "none", "rope_theta": 10000.0,
    "position_embedding": "none", "qk_mixer_blocks": 8, "block": "transformer", "norm": "rmsnorm", "norm_eps": 1e-6,
    "norm_weight_offset": 0.0, "mlp": "gated", "tie_word_embeddings": True, "max_position_embeddings": None,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}
_150M = _BASE | {
    "vocab_size": 50304, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 8,
    "num_key_value_heads": 8, "head_dim": 96, "latents_per_head": 32, "qk_mixer": "rglru",
    "norm_placement": "pre", "hidden_act": "silu", "intermediate_size": 2560,
}
MODELS = {
    "bench-150m": _150M | {"layer_types": ["macchiato"] * 12, "sliding_window": 128, "local_position": "rope"},
    "bench-150m-pure": _150M | {"layer_types": ["latte"] * 12, "local_position": "none"},
    "bench-2.6b": _BASE | {  # The shape of Gemma 2 with its caps.
        "vocab_size": 256000, "hidden_size": 2304, "num_hidden_layers": 26, "layer_types": ["macchiato"] * 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "latents_per_head": 32,
        "sliding_window": 512, "attention_softcap": 50.0, "local_position": "rope", "qk_mixer": "conv_rglru",
        "conv_width": 4, "norm_placement": "sandwich", "hidden_act": "gelu", "intermediate_size": 9216,
        "final_softcap": 30.0,
    },
    "bench-tiny": _150M | {  # Measures nothing: for checks that the benchmarks run.
        "vocab_size": 1024, "hidden_size": 64, "num_hidden_layers": 2, "layer_types": ["macchiato"] * 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "latents_per_head": 8, "sliding_window": 16,
        "local_position": "rope", "intermediate_size": 128,
    },
}


def tensors(c: dict) -> dict[str, tuple[tuple[int, ...], object]]:
    """Name -> (shape, values). Values: a standard deviation, "ones", "zeros" or "decay"."""
    D, H, G, E, M = (c[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
                                        "latents_per_head"))
    inner, blocks = c["intermediate_size"], c["qk_mixer_blocks"]
    # The head is tied: if the embedding were not small beside what the layers add, every token would predict itself.
    table = {"model.embed_tokens.weight": ((c["vocab_size"], D), 0.02)}

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        table[f"{name}.weight"] = ((outputs, inputs), gain * inputs**-0.5)

    norms = ["mixer_norm", "mlp_norm"] + ["mixer_post_norm", "mlp_post_norm"] * (c["norm_placement"] == "sandwich")
    for i, kind in enumerate(c["layer_types"]):
        layer = f"model.layers.{i}"
        mixer = f"{layer}.mixer"
        table.update({f"{layer}.{norm}.weight": ((D,), "ones") for norm in norms})
        local = kind == "macchiato"
        linear(f"{mixer}.latent_query", H * (M + local), D)
        linear(f"{mixer}.latent_key", G * M, D)
        if local:
            linear(f"{mixer}.q_proj", H * E, D)
            linear(f"{mixer}.k_proj", G * E, D)
        linear(f"{mixer}.v_proj", G * E, D)
        linear(f"{mixer}.o_proj", D, H * E, 0.3)  # Averages over the past change slowly; tokens shall differ.
        if c["qk_mixer"] == "conv_rglru":
            table[f"{mixer}.qk_mixer.conv.weight"] = ((c["conv_width"], D), 0.5)
            table[f"{mixer}.qk_mixer.conv.bias"] = ((D,), "zeros")
        table[f"{mixer}.qk_mixer.rglru.a_param"] = ((D,), "decay")
        for gate in ("input_gate", "a_gate"):
            table[f"{mixer}.qk_mixer.rglru.{gate}.weight"] = ((blocks, D // blocks, D // blocks), math.sqrt(blocks / D))
            table[f"{mixer}.qk_mixer.rglru.{gate}.bias"] = ((D,), "zeros")
        linear(f"{layer}.mlp.up_proj", inner, D)
        linear(f"{layer}.mlp.gate_proj", inner, D)
        linear(f"{layer}.mlp.down_proj", D, inner)
    table["model.norm.weight"] = ((D,), "ones")
    return table


def pieces(name: str, shape: tuple[int, ...], values: object, seed: int):
    """The tensor's values, float32, in order, at most _PIECE at a time; a function of name and seed alone."""
    random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    size = math.prod(shape)
    for start in range(0, size, _PIECE):
        n = min(_PIECE, size - start)
        if values == "ones":
            yield np.ones(n, np.float32)
        elif values == "zeros":
            yield np.zeros(n, np.float32)
        elif values == "decay":
            # At a half-open gate the decay is exp(-4 softplus(a_param)): solve that for decays in 0.9..0.999.
            yield np.log(np.expm1(-np.log(random.uniform(0.9, 0.999, n)) / 4)).astype(np.float32)
        else:
            yield random.standard_normal(n, np.float32) * np.float32(values)


def encode(values: np.ndarray, dtype: str) -> bytes:
    """Little-endian float32, or bfloat16 rounded to nearest even."""
    if dtype == "f32":
        return values.astype("<f4").tobytes()
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(file: Path, table: dict, dtype: str, seed: int) -> None:
    header, offset = {}, 0
    for name, (shape, _) in table.items():
        end = offset + math.prod(shape) * (2 if dtype == "bf16" else 4)
        header[name] = {"dtype": dtype.upper(), "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, (shape, values) in table.items():
            for piece in pieces(name, shape, values, seed):
                out.write(encode(piece, dtype))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(MODELS))
    parser.add_argument("dst", type=Path, help="directory to write; made if it does not exist")
    parser.add_argument("--dtype", choices=("bf16", "f32"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = MODELS[options.name]
    table = tensors(config)
    options.dst.mkdir(parents=True, exist_ok=True)
    write_safetensors(options.dst / "model.safetensors", table, options.dtype, options.seed)
    (options.dst / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    parameters = sum(math.prod(shape) for shape, _ in table.values())
    print(f"{options.dst}: {options.name}, {parameters:,} parameters, "
          f"{(options.dst / 'model.safetensors').stat().st_size:,} bytes, {options.dtype}, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

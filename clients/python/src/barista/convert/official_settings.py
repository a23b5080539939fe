"""Settings of the authors' training runs (config.yaml), checked."""

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from .errors import ConvertError

# Keys of their configuration that do not change what the trained model computes.
_IGNORED = {
    "name", "base_dir", "project", "entity", "tokenizer_path", "dataset_name", "epochs", "train_steps", "unroll",
    "eval_steps", "max_checkpoints", "dropout", "weight_decay", "lr", "warmup_pc", "lr_decay_fn", "lr_end_value",
    "batch_size", "grad_accumulation_steps", "check_path", "wandb_log", "disable_cache", "normalize_img",
}
ATTENTION_TYPES = ("stable_latte", "latte", "bid_latte", "standard_causal")
BLOCK_TYPES = ("transformer", "glu")
POOLS = ("mean", "last")


@dataclass(frozen=True)
class Settings:
    """The keys that matter, with the defaults of the authors' code."""

    hidden_dim: int = 128
    nlayers: int = 6
    nheads: int = 4
    L: int = 10  # Latents of all heads together.
    max_seq_len: int = 1024
    prenorm: bool = False
    batchnorm: bool = True
    attention_type: str = "stable_latte"
    block_type: str = "transformer"
    pool: str = "last"
    num_classes: int = 10
    conv_embed: bool = False
    tokenize_img: bool = False


def read_settings(file: Path) -> Settings:
    """Reads config.yaml. Errors: ConvertError naming the key, its value and what was expected."""
    if not file.is_file():
        raise ConvertError(f"{file}: no such file; it is the configuration the training was started with "
                           "(--config=FILE if it lies elsewhere)")
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConvertError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConvertError(f"{file}: expected a mapping of settings")
    known = {field.name: field.type for field in fields(Settings)}
    values = {}
    for key, value in raw.items():
        if key in known:
            values[key] = _typed(file, key, value, known[key])
        elif key not in _IGNORED:
            raise ConvertError(f"{file}: unknown key {key!r}")
    settings = Settings(**values)
    _check(file, settings)
    return settings


def _typed(file: Path, key: str, value: object, kind: type):
    if type(value) is not kind:  # Not isinstance: a bool is an int in Python.
        raise ConvertError(f"{file}: {key}: {value!r} is not of type {kind.__name__}")
    return value


def _check(file: Path, s: Settings) -> None:
    for key in ("hidden_dim", "nlayers", "nheads", "L", "max_seq_len"):
        if getattr(s, key) < 1:
            raise ConvertError(f"{file}: {key}: {getattr(s, key)} must be at least 1")
    for key, allowed in (("attention_type", ATTENTION_TYPES), ("block_type", BLOCK_TYPES), ("pool", POOLS)):
        if getattr(s, key) not in allowed:
            raise ConvertError(f"{file}: {key}: {getattr(s, key)!r} is not supported; "
                               f"expected one of {', '.join(allowed)}")
    for key in ("hidden_dim",) if s.attention_type == "standard_causal" else ("hidden_dim", "L"):
        if getattr(s, key) % s.nheads:
            raise ConvertError(f"{file}: {key}: {getattr(s, key)} is not divisible by nheads {s.nheads}")
    if s.hidden_dim % 2:
        raise ConvertError(f"{file}: hidden_dim: {s.hidden_dim} must be even (sinusoidal positions)")
    for key in ("conv_embed", "tokenize_img"):
        if getattr(s, key):
            raise ConvertError(f"{file}: {key}: image models are not supported")

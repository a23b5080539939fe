"""Writes a checkpoint directory, whole or not at all."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from .errors import ConvertError

DTYPES = {"f32": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16), "f16": np.dtype(np.float16)}


def check_destination(destination: Path) -> None:
    """Refuses a destination that cannot become a new directory, before any work is done."""
    if os.path.lexists(destination):
        raise ConvertError(f"{destination}: exists already; DST must be a new directory")
    if not destination.absolute().parent.is_dir():
        raise ConvertError(f"{destination.absolute().parent}: no such directory, so DST cannot be made in it")


def cast(tensors: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """All tensors in one type, row-major, rounded to nearest even. Errors: a value too large for the type."""
    result = {}
    for name, tensor in tensors.items():
        with np.errstate(over="ignore"):
            result[name] = np.ascontiguousarray(tensor, DTYPES[dtype])
        if not np.isfinite(result[name].astype(np.float32)).all():
            raise ConvertError(f"tensor {name}: {np.abs(tensor).max():.3g} does not fit into {dtype}")
    return result


def write_checkpoint(destination: Path, config: dict, tensors: dict[str, np.ndarray], tokenizer: str | None) -> None:
    """config.json, model.safetensors and, if given, tokenizer.json, in a directory that gets its name when complete."""
    check_destination(destination)
    parent = destination.absolute().parent
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=parent))
    except OSError as error:
        raise ConvertError(f"{parent}: cannot be written: {error.strerror}") from None
    try:
        save_file(tensors, temporary / "model.safetensors")
        (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if tokenizer is not None:
            (temporary / "tokenizer.json").write_text(tokenizer, encoding="utf-8", newline="")
        for path in (temporary, *temporary.iterdir()):  # Temporary directories and save_file let only the owner read.
            path.chmod(0o755 if path.is_dir() else 0o644)
        temporary.rename(destination)
    except OSError as error:
        raise ConvertError(f"{destination}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

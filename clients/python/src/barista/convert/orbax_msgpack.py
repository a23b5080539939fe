"""Decodes the msgpack file `checkpoint` that Flax and early Orbax write."""

import math
from pathlib import Path
from typing import Iterator

import ml_dtypes
import msgpack
import numpy as np

from .errors import ConvertError

# Flax's extension types: an array, a complex number, an array scalar; Orbax added tuples.
_NDARRAY, _COMPLEX, _SCALAR, _TUPLE = 1, 2, 3, 4
_CHUNKED = "__msgpack_chunked_array__"


def read_leaves(file: Path) -> Iterator[tuple[tuple[str, ...], object]]:
    """(path, value) for every leaf: numpy arrays, or whatever else the tree holds (numbers, strings, None)."""
    try:
        tree = msgpack.unpackb(file.read_bytes(), ext_hook=_decode_extension, raw=False, strict_map_key=False)
        return iter(list(_flatten((), tree)))
    except (msgpack.UnpackException, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConvertError(f"{file}: not a msgpack checkpoint: {type(error).__name__}: {error}") from None


def _flatten(path: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict) and value.get(_CHUNKED):
        yield path, _join_chunks(value)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _flatten((*path, str(key)), child)
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from _flatten((*path, str(index)), child)
    else:
        yield path, value


def _join_chunks(value: dict) -> np.ndarray:
    """Arrays of more than 1 GiB are stored as flat pieces, shape and pieces keyed by "0", "1", ..."""
    shape = [value["shape"][str(i)] for i in range(len(value["shape"]))]
    chunks = [value["chunks"][str(i)] for i in range(len(value["chunks"]))]
    return np.concatenate(chunks).reshape(shape)


def _decode_extension(code: int, data: bytes) -> object:
    if code in (_NDARRAY, _SCALAR):
        shape, dtype, raw = msgpack.unpackb(data, raw=False)
        dtype = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
        if dtype.hasobject or len(raw) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"an array of shape {shape} and type {dtype} cannot have {len(raw)} bytes")
        return np.frombuffer(raw, dtype).reshape(shape)
    if code == _COMPLEX:
        return complex(*msgpack.unpackb(data))
    if code == _TUPLE:
        return tuple(msgpack.unpackb(data, ext_hook=_decode_extension, raw=False, strict_map_key=False))
    raise ValueError(f"unknown extension type {code}")

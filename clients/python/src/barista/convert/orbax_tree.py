"""Reads an Orbax tree directory as arrays by path, without JAX, Orbax or Flax.

Two files can describe the tree. `checkpoint` (2023) is a msgpack of the whole tree whose leaves are arrays, or
placeholders for arrays that lie beside it. `_METADATA` (current) is JSON that lists the paths; arrays lie beside it.
Arrays beside it are zarr, in plain directories or in an OCDBT database (see orbax_zarr).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

from . import orbax_msgpack
from .errors import ConvertError
from .orbax_zarr import ArrayStore

_PLACEHOLDERS = ("PLACEHOLDER://", "AGGREGATED://")


@dataclass(frozen=True)
class Leaf:
    """One array that has not been read yet."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


# Path ("model/params/Dense_0/kernel") -> a function that opens the leaf. Opening learns the shape, and reads no data.
Tree = dict[str, Callable[[], Leaf]]


def read_tree(folder: Path) -> Tree:
    """The tree in `folder`. Errors: ConvertError naming the file that is missing or broken."""
    metadata = _read_metadata(folder / "_METADATA")
    store = ArrayStore(folder, zarr3=metadata.get("use_zarr3") is True,
                       has_all_chunks=metadata.get("store_array_data_equal_to_fill_value") is True)
    if (folder / "checkpoint").is_file():
        leaves = orbax_msgpack.read_leaves(folder / "checkpoint")
        return {"/".join(path): _msgpack_leaf("/".join(path), value, store) for path, value in leaves}
    return {"/".join(path): _stored_leaf(".".join(path), store) for path in _metadata_paths(folder, metadata)}


def _msgpack_leaf(path: str, value: object, store: ArrayStore) -> Callable[[], Leaf]:
    if isinstance(value, str) and value.startswith(_PLACEHOLDERS):
        return _stored_leaf(value.split("://", 1)[1], store)

    def open_leaf() -> Leaf:
        if not isinstance(value, np.ndarray):
            raise ConvertError(f"{path}: not an array but {type(value).__name__}")
        return Leaf(value.shape, value.dtype.name, lambda: value)

    return open_leaf


def _stored_leaf(name: str, store: ArrayStore) -> Callable[[], Leaf]:
    def open_leaf() -> Leaf:
        array = store.open(name)
        return Leaf(tuple(array.shape), array.dtype.name, lambda: store.read(name, array))

    return open_leaf


def _read_metadata(file: Path) -> dict:
    if not file.is_file():
        return {}
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConvertError(f"{file}: not JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise ConvertError(f"{file}: expected a JSON object")
    return metadata


def _metadata_paths(folder: Path, metadata: dict) -> list[tuple[str, ...]]:
    """Paths of all arrays; containers without children (`None`, empty dicts) have entries too, and are skipped."""
    try:
        return [tuple(str(key["key"]) for key in entry["key_metadata"])
                for entry in metadata["tree_metadata"].values()
                if not entry["value_metadata"].get("skip_deserialize", False)]
    except (KeyError, TypeError, AttributeError):
        file = folder / "_METADATA"
        raise ConvertError(f"{file}: no tree_metadata with key_metadata and value_metadata in it") from None

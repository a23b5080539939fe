"""Writes a tree in every layout of current Orbax, and in those of 2023 that current Orbax no longer writes."""

from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
import orbax.checkpoint as ocp


def _item(**options):
    def save(step: Path, tree: dict) -> None:
        ocp.PyTreeCheckpointer(**options).save(step / "default", tree)

    return save


def _standard(step: Path, tree: dict) -> None:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(step / "default", tree)


def _bare(step: Path, tree: dict) -> None:
    ocp.PyTreeCheckpointer().save(step, tree)


def _manager(step: Path, tree: dict) -> None:
    with ocp.CheckpointManager(step.parent) as manager:
        manager.save(int(step.name), args=ocp.args.StandardSave(tree))


def _manager_named_items(step: Path, tree: dict) -> None:
    with ocp.CheckpointManager(step.parent) as manager:
        manager.save(int(step.name), args=ocp.args.Composite(state=ocp.args.PyTreeSave(tree),
                                                             notes=ocp.args.JsonSave({"loss": 1.0})))


def pack(value: object) -> object:
    """msgpack hook for arrays, as Flax packs them."""
    value = np.asarray(value)
    return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes())))


def _msgpack(step: Path, tree: dict) -> None:
    (step / "default").mkdir(parents=True)
    (step / "default" / "checkpoint").write_bytes(msgpack.packb(tree, default=pack))


def _msgpack_with_arrays_beside(step: Path, tree: dict) -> None:
    """Training on several devices in 2023: the msgpack names the arrays, which lie in zarr directories of their own."""
    ocp.PyTreeCheckpointer(use_ocdbt=False).save(step / "default", tree)

    def name(value: object, path: str) -> object:
        if isinstance(value, dict):
            return {key: name(child, f"{path}.{key}") for key, child in value.items()}
        if isinstance(value, list):
            return [name(child, f"{path}.{i}") for i, child in enumerate(value)]
        return None if value is None else f"PLACEHOLDER://{path.lstrip('.')}"

    (step / "default" / "_METADATA").unlink()
    (step / "default" / "checkpoint").write_bytes(msgpack.packb(name(tree, "")))


def _msgpack_chunked(step: Path, tree: dict) -> None:
    """Arrays beyond 1 GiB are cut into flat pieces; here every array is."""
    def cut(value: object) -> object:
        if isinstance(value, dict):
            return {key: cut(child) for key, child in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        pieces = np.array_split(value.reshape(-1), 2)
        return {"__msgpack_chunked_array__": True, "shape": {str(i): n for i, n in enumerate(value.shape)},
                "chunks": {str(i): piece for i, piece in enumerate(pieces)}}

    _msgpack(step, cut(tree))


LAYOUTS = {
    "ocdbt": _item(), "ocdbt-zarr3": _item(use_zarr3=True), "zarr-directories": _item(use_ocdbt=False),
    "zarr3-directories": _item(use_ocdbt=False, use_zarr3=True), "standard": _standard, "step-is-the-tree": _bare,
    "manager": _manager, "manager-named-items": _manager_named_items, "msgpack": _msgpack,
    "msgpack-arrays-beside": _msgpack_with_arrays_beside, "msgpack-chunked": _msgpack_chunked,
}


def as_bfloat16(tree: object) -> object:
    """The same tree with float32 arrays in bfloat16."""
    if isinstance(tree, dict):
        return {key: as_bfloat16(child) for key, child in tree.items()}
    return tree.astype(ml_dtypes.bfloat16) if getattr(tree, "dtype", None) == np.float32 else tree

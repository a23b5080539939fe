"""Takes the parameters of one training state by path, once each, with the shape that the settings imply."""

import numpy as np

from .errors import ConvertError
from .orbax_tree import Tree

_COLLECTIONS = ("params", "batch_stats")
_TRAINING_ONLY = ("opt_state", "step", "key")
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Parameters:
    """`params` and `batch_stats` of a tree, whose root is the state itself or {"model": state}."""

    def __init__(self, tree: Tree):
        root = "model/" if any(path.startswith("model/") for path in tree) else ""
        self._prefix = root
        self._rest = {}
        for path, open_leaf in tree.items():
            top = path[len(root):].split("/")[0] if path.startswith(root) else None
            if top in _COLLECTIONS:
                self._rest[path[len(root):]] = open_leaf
            elif top not in _TRAINING_ONLY:
                raise ConvertError(f"unexpected tensor {path}; a training state holds "
                                   f"{', '.join(_COLLECTIONS + _TRAINING_ONLY)}")
        if not any(path.startswith("params/") for path in self._rest):
            raise ConvertError(f"no {root}params in the checkpoint; it holds {sorted({p.split('/')[0] for p in tree})}")

    def has_module(self, path: str) -> bool:
        """Whether params has anything under `path` ("Encoder_0")."""
        return any(key.startswith(f"params/{path}/") for key in self._rest)

    def shape(self, path: str) -> tuple[int, ...]:
        """Shape of a tensor that no setting tells."""
        return self._find(path)().shape

    def take(self, path: str, shape: tuple[int, ...]) -> np.ndarray:
        """The tensor at `path` ("params/Dense_0/kernel"), finite, in float64 if that is its type, else in float32."""
        leaf = self._find(path)()
        del self._rest[path]
        if leaf.shape != shape:
            raise ConvertError(f"tensor {self._prefix}{path} has shape {list(leaf.shape)}, expected {list(shape)} "
                               "by the configuration")
        if leaf.dtype not in _FLOATS:
            raise ConvertError(f"tensor {self._prefix}{path} has type {leaf.dtype}, "
                               f"expected one of {', '.join(_FLOATS)}")
        value = leaf.read()
        value = value if leaf.dtype == "float64" else value.astype(np.float32)
        if not np.isfinite(value).all():
            raise ConvertError(f"tensor {self._prefix}{path} holds values that are not finite")
        return value

    def expect_nothing_left(self) -> None:
        """Refuses tensors that nobody took: a model that we do not know would be converted into another one."""
        if self._rest:
            names = [self._prefix + path for path in sorted(self._rest)]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise ConvertError(f"unexpected tensors by the configuration: {', '.join(names[:5])}{more}")

    def _find(self, path: str):
        if path not in self._rest:
            raise ConvertError(f"tensor {self._prefix}{path} is missing, by the configuration it should be there")
        return self._rest[path]

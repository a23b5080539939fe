"""Opens the zarr arrays that Orbax writes beside its tree description."""

from pathlib import Path

import numpy as np

from .errors import ConvertError


class ArrayStore:
    """Arrays by Orbax name ("model.params.Dense_0.kernel") in one tree directory; opened read-only.

    has_all_chunks: whether the writer stored chunks of zeros too. Then a chunk that is absent is damage, not zeros.
    """

    def __init__(self, folder: Path, zarr3: bool, has_all_chunks: bool):
        self._files = {"driver": "file", "path": f"{folder.resolve()}/"}
        self._ocdbt = (folder / "manifest.ocdbt").is_file()
        self._folder, self._zarr3, self._has_all_chunks = folder, zarr3, has_all_chunks

    def open(self, name: str):
        """A tensorstore handle: `shape` and `dtype` are known, nothing else has been read."""
        import tensorstore  # Late: checkpoints of 2023 do without, and it takes a while to load.

        if self._ocdbt:
            kvstore = {"driver": "ocdbt", "base": self._files, "path": f"{name}/"}
        else:
            kvstore = {"driver": "file", "path": f"{self._files['path']}{name}/"}
        spec = {"driver": "zarr3" if self._zarr3 else "zarr", "kvstore": kvstore,
                "fill_missing_data_reads": not self._has_all_chunks}
        try:
            return tensorstore.open(spec, open=True, read=True).result()
        except ValueError as error:
            raise ConvertError(f"{self._folder}: array {name} cannot be opened: {_first_line(error)}") from None

    def read(self, name: str, array) -> np.ndarray:
        """All of the array."""
        try:
            return array.read().result()
        except ValueError as error:
            raise ConvertError(f"{self._folder}: array {name} cannot be read: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).split(" [")[0].splitlines()[0]

"""Finds the checkpoint in a training run's directory: SRC/checkpoints/STEP/[ITEM/]."""

from pathlib import Path

from .errors import ConvertError

# A directory that holds one Orbax tree has at least one of these.
_TREE_FILES = ("checkpoint", "_METADATA")


def find_steps(run: Path) -> dict[int, Path]:
    """Steps of a run: the directories under checkpoints/ whose names are integers (Orbax's unfinished ones are not)."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        raise ConvertError(f"{folder}: no such directory; SRC must be the run directory that holds checkpoints/")
    steps = {int(d.name): d for d in folder.iterdir() if d.is_dir() and d.name.isascii() and d.name.isdigit()}
    if not steps:
        raise ConvertError(f"{folder}: no checkpoint steps (directories named by an integer) in it")
    return steps


def find_tree(run: Path, step: int | None) -> tuple[int, Path]:
    """(step, directory of its tree): the largest step, or the one asked for."""
    if not run.is_dir():
        raise ConvertError(f"{run}: no such directory")
    steps = find_steps(run)
    if step is not None and step not in steps:
        raise ConvertError(f"{run / 'checkpoints'}: no step {step}; there are {sorted(steps)}")
    step = max(steps) if step is None else step
    return step, _tree_of_step(steps[step])


def _tree_of_step(folder: Path) -> Path:
    if _holds_tree(folder):
        return folder
    items = sorted(d for d in folder.iterdir() if d.is_dir() and _holds_tree(d))
    if len(items) == 1:
        return items[0]
    if (folder / "default") in items:
        return folder / "default"
    if items:
        raise ConvertError(f"{folder}: several trees in one step: {[d.name for d in items]}; expected one")
    raise ConvertError(f"{folder}: no Orbax tree in it or in its subdirectories "
                       f"(looked for {' or '.join(_TREE_FILES)})")


def _holds_tree(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TREE_FILES)

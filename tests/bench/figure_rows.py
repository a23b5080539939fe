"""The rows of a table of figures that have limits and targets (gpu_figures.py)."""
import dataclasses
import typing

HEAD = "| figure | measured | limit or reference | ratio | target | met | note |\n|" + "---|" * 7


@dataclasses.dataclass
class Row:
    """A row of words."""

    name: str
    measured: str
    reference: str = ""
    ratio: str = ""
    target: str = ""
    met: str = ""
    note: str = ""
    failed: typing.ClassVar[bool] = False

    def row(self):
        return self


class Failed(Row):
    """What did not run."""

    failed = True


def did_not_run(name, error):
    return Failed(name, f"did not run: {error}")


@dataclasses.dataclass
class Figure:
    """A value against another of the same unit. `reference` is asked when the table is printed, since limits are measured until
    then; None: there is none."""

    name: str
    unit: str
    scale: float  # from the value to the unit
    value: float
    reference: typing.Callable[[], float | None]
    sense: str = ""  # "<=" or ">=", of the ratio to the target
    target: float | None = None
    note: str = ""
    failed: typing.ClassVar[bool] = False

    def row(self):
        measured, reference = f"{self.value * self.scale:.4g} {self.unit}", self.reference()
        target = "" if self.target is None else f"{self.sense} {self.target:g}"
        if reference is None:
            return Row(self.name, measured, "not measured", "", target, "", self.note)
        ratio = self.value / reference
        met = "" if self.target is None else "yes" if (ratio <= self.target if self.sense == "<=" else ratio >= self.target) else "no"
        return Row(self.name, measured, f"{reference * self.scale:.4g} {self.unit}", f"{ratio:.3f}", target, met, self.note)


def line(row):
    return "| " + " | ".join(dataclasses.astuple(row.row())) + " |"


def table(rows):
    return "\n".join([HEAD, *map(line, rows)])

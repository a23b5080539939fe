"""Barista's engine: engine_bench in a process of its own, a round a call."""
import json

from peers.shape import Peer
from serving_bench import run


class Barista(Peer):
    name = "Barista"

    def __init__(self, shape, program, model, backend):
        self._shape = shape
        self._command = [program, f"--model={model}", f"--backend={backend}", "--weights=auto", "--threads=1",
                         "--rounds=1", "--json"]

    def parameters(self):
        return self._shape.parameters

    def _point(self, *flags):
        (point,) = json.loads(run([*self._command, *flags], 300))[0]["points"]
        return point["seconds"], 1

    def decode(self, batch, context):
        return lambda: self._point(f"--batch={batch}", "--prefill=", f"--context={context}")

    def prefill(self, tokens):
        return lambda: self._point("--batch=", f"--prefill={tokens}")


def all_of(shape, device, arguments):
    yield Barista(shape, arguments.engine_bench, arguments.model, "cuda" if device == "cuda" else "cpu")

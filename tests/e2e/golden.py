"""The checkpoints of tests/golden and what they must answer; its README.md has the tolerances."""
import json
import struct

import numpy as np

from stubs import ROOT

DIRECTORY = ROOT / "tests/golden"
DTYPES = {"F32": np.float32, "I32": np.int32, "F64": np.float64, "I64": np.int64}


def directories(classifiers):
    """Names such as "official/lm-transformer", of one task."""
    names = sorted(str(p.parent.relative_to(DIRECTORY)) for p in DIRECTORY.rglob("golden.safetensors"))
    return [n for n in names if ("cls-" in n) == classifiers]


class Golden:
    def __init__(self, name):
        self.name, self.path = name, DIRECTORY / name
        data = (self.path / "golden.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        self.tensors = {}
        for key, entry in json.loads(data[8:8 + size]).items():
            if key != "__metadata__":
                begin, end = (8 + size + x for x in entry["data_offsets"])
                self.tensors[key] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])

    def __getattr__(self, name):
        return self.tensors[name]

    def rows(self):
        """(tokens without padding, logits) of each sequence."""
        for tokens, logits in zip(self.tokens, self.logits):
            if self.name == "official/cls-bidirectional":
                tokens = tokens[:np.flatnonzero(tokens != 256)[-1] + 1]
            yield tokens, logits.astype(np.float64)


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

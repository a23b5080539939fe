"""Python stubs of proto/, made at import into a folder that goes when the process ends."""
import atexit
import os
import pathlib
import shutil
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _generate():
    out = tempfile.mkdtemp(prefix="barista-stubs-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    proto = ROOT / "proto"
    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    files = sorted(str(p) for p in proto.rglob("*.proto"))
    arguments = ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}",
                 "--include_imports", f"--descriptor_set_out={out}/barista.pb", *files]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc failed on {proto}")
    sys.path.insert(0, out)
    return pathlib.Path(out) / "barista.pb"


PROTOSET = _generate()  # all descriptors in one file

from barista.v1 import inference_pb2 as inference  # noqa: E402,F401
from barista.v1 import inference_pb2_grpc, model_pb2_grpc, session_pb2_grpc, tokenizer_pb2_grpc  # noqa: E402,F401
from barista.v1 import model_pb2 as model  # noqa: E402,F401
from barista.v1 import session_pb2 as session  # noqa: E402,F401
from barista.v1 import tokenizer_pb2 as tokenizer  # noqa: E402,F401

"""One server and the Prometheus that watches it, for a module's tests."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from prometheus import Prometheus  # noqa: E402
from server import Server  # noqa: E402
from stubs import ROOT  # noqa: E402

MODEL = ROOT / "tests/golden/variants/macchiato-rglru"


@pytest.fixture(scope="session")
def full():
    return os.environ.get("BARISTA_FULL") == "1"


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=32", "--latent_sample_steps=1",
                "--drift_sample_seconds=0.5") as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(server):
    with Prometheus(server.metrics_address) as running:
        yield running

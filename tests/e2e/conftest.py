"""What all suites share: the size of the counts, one server a checkpoint and set of flags for the whole run, and clients
that leave no session behind."""
import contextlib
import os
import random

import pytest

from client import Client
from lines import Lines
from server import Server
from stubs import ROOT

DEMO = ROOT / "deploy/demo-model"
GOLDEN = ROOT / "tests/golden"


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", default=os.environ.get("BARISTA_FULL") == "1",
                     help="the whole counts; also BARISTA_FULL=1")


@pytest.fixture(scope="session")
def full(request):
    return request.config.getoption("--full")


@pytest.fixture(scope="session")
def servers():
    """servers(model, *flags): a running Server with a Client as .client, started once a session. One thread computes, so
    that another core writes messages; tests' own servers compute on all cores, and write between steps."""
    with contextlib.ExitStack() as stack:
        running = {}

        def get(model, *flags):
            key = (str(model), *flags)
            if key not in running:
                threads = [] if any(flag.startswith("--threads=") for flag in flags) else ["--threads=1"]
                running[key] = stack.enter_context(Server(model, "--sessions_max=32", *threads, *flags))
                running[key].client = stack.enter_context(Client(running[key].address))
            return running[key]
        yield get


@pytest.fixture(scope="session")
def demo(servers):
    return servers(DEMO, "--backend=cpu")


@pytest.fixture
def demo_client(demo):
    yield demo.client
    demo.client.delete_sessions()


@pytest.fixture
def client(server):
    """A client of the module's `server`."""
    with Client(server.address) as client:
        yield client
        client.delete_sessions()
    server.settled()


@pytest.fixture
def rng(request):
    return random.Random(request.node.name)


@pytest.fixture(scope="session")
def plain(servers):
    """A small float32 checkpoint without a tokenizer or end-of-sequence token."""
    return servers(GOLDEN / "variants/macchiato-rglru", "--backend=cpu")


TINY = GOLDEN / "variants/macchiato-conv-rope"  # a server of it starts in 50 ms


@pytest.fixture(scope="session")
def lines():
    """What sessions of TINY draw where nothing happens to them; see lines.py."""
    with Server(TINY, "--backend=cpu", "--sessions_max=64") as server, Client(server.address) as client:
        yield Lines(client)

"""--health_listen: /livez and /readyz, from the first moment to the last."""
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from client import Client, request
from conftest import DEMO, TINY
from refusal import PORT_TAKEN, refused
from server import SERVER, Server, until


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def probe(port, path):
    """(HTTP status, body); None where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return None


def test_probes_while_the_model_is_loaded():
    port = free_port()
    process = subprocess.Popen([SERVER, f"--model={DEMO}", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                                "--backend=ref", f"--health_listen=127.0.0.1:{port}"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    try:
        seen = [until(lambda: probe(port, "/readyz"), what="a listener")]
        assert probe(port, "/livez") == (200, "ok\n")
        until(lambda: seen.append(probe(port, "/readyz")) or seen[-1] == (200, "ok\n"), what="a server that is ready")
        assert set(seen) == {(503, "loading\n"), (200, "ok\n")}
        assert process.stdout.readline().startswith("ready ")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_probes_while_it_serves_and_drains():
    port = free_port()
    with Server(TINY, "--backend=cpu", f"--health_listen=127.0.0.1:{port}") as server, Client(server.address) as client:
        assert probe(port, "/livez") == probe(port, "/readyz") == (200, "ok\n")
        assert probe(port, "/")[0] == 404
        stream = client.inference.Generate(request([1], {}, {"max_tokens": 1 << 20, "ignore_eos": True}), timeout=60)
        next(stream)
        server.process.terminate()
        until(lambda: probe(port, "/readyz") == (503, "draining\n"), what="an answer that it drains")
        assert probe(port, "/livez") == (200, "ok\n")
        stream.cancel()
        assert server.wait() == 0


@pytest.mark.parametrize("garbage", [b"", b"\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET " + b"a" * 100_000])
def test_whatever_comes_probes_are_answered(garbage):
    port = free_port()
    with Server(TINY, "--backend=cpu", f"--health_listen=127.0.0.1:{port}"):
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for connection in silent:
            try:
                connection.sendall(garbage)
            except OSError:  # it was let go of already
                pass
        assert probe(port, "/livez") == (200, "ok\n")
        for connection in silent:
            connection.close()


def test_a_health_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused(PORT_TAKEN, "health_listen", address, flags=[f"--health_listen={address}"])

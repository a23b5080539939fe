"""The `barista` client against servers with TLS and keys."""
import os

import pytest

from access_files import Authority, access
from conftest import TINY
from server import CLI, Server, run

REFUSED, UNAVAILABLE = 3, 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, authority):
    directory = tmp_path_factory.mktemp("server")
    cert, key = authority.pair("server")
    (directory / "access.json").write_text(access({"red-key": "red"}))
    with Server(TINY, "--backend=cpu", f"--tls_cert_file={cert}", f"--tls_key_file={key}",
                f"--access_file={directory / 'access.json'}") as server:
        yield server


def barista(server, *words, api_key=None):
    environment = {**os.environ, "BARISTA_SERVER": server.address}
    environment.pop("BARISTA_API_KEY", None)
    if api_key:
        environment["BARISTA_API_KEY"] = api_key
    return run(CLI, *words, seconds=60, env=environment)


def test_a_key_from_the_environment_or_a_file(server, authority, tmp_path):
    ca = f"--tls_ca={authority.cert}"
    assert barista(server, "describe", ca, api_key="red-key")[0] == 0
    (tmp_path / "key").write_text("red-key\n")
    assert barista(server, "session", "create", "cli", ca, f"--api_key_file={tmp_path / 'key'}")[0] == 0
    code, out, _ = barista(server, "generate", "--session=cli", "--tokens=1,2", "--max_tokens=3", "--ignore_eos", "--json",
                           ca, f"--api_key_file={tmp_path / 'key'}")
    assert code == 0 and '"session_position"' in out
    assert barista(server, "session", "delete", "cli", ca, api_key="red-key")[0] == 0


def test_what_is_missing_is_said(server, authority):
    code, _, err = barista(server, "describe", api_key="red-key")
    assert code == UNAVAILABLE and "--tls_ca=FILE" in err
    code, _, err = barista(server, "describe", f"--tls_ca={authority.cert}")
    assert code == REFUSED and "UNAUTHENTICATED" in err and "BARISTA_API_KEY" in err
    code, _, err = barista(server, "describe", f"--tls_ca={authority.cert}", api_key="blue-key")
    assert code == REFUSED and "not known" in err


def test_the_servers_name(server, authority):
    ca = f"--tls_ca={authority.cert}"
    assert barista(server, "describe", ca, "--tls_server_name=barista.test", api_key="red-key")[0] == 0
    assert barista(server, "describe", ca, "--tls_server_name=other.test", api_key="red-key")[0] == UNAVAILABLE


def test_a_client_certificate(authority, tmp_path):
    cert, key = authority.pair("server2")
    own_cert, own_key = authority.pair("client")
    with Server(TINY, "--backend=cpu", f"--tls_cert_file={cert}", f"--tls_key_file={key}",
                f"--tls_client_ca_file={authority.cert}") as server:
        assert barista(server, "describe", f"--tls_ca={authority.cert}")[0] == UNAVAILABLE
        assert barista(server, "describe", f"--tls_ca={authority.cert}", f"--tls_cert={own_cert}",
                       f"--tls_key={own_key}")[0] == 0

"""Bad flags, config files and ports; and the flags that end without serving."""
import socket

import pytest

from refusal import CONFIG, PORT_TAKEN, SMALL, USAGE, refused
from server import SERVER, Server, run


@pytest.mark.parametrize("flag, words", [
    ("--modle=x", ["--modle", "--model"]),
    ("--threads=-1", ["--threads", "-1", "0 to 1024"]),
    ("--threads=many", ["--threads", "many"]),
    ("--threads", ["--threads", "value"]),
    ("--backend=gpu", ["--backend", "gpu", "cuda"]),
    ("--weights_dtype=f8", ["--weights_dtype", "f8", "bf16"]),
    ("--step_tokens_max=127", ["--step_tokens_max", "127", "128"]),
    ("--step_target_ms=nan", ["--step_target_ms", "nan"]),
    ("--drain_seconds=1e99", ["--drain_seconds", "1e99", "3600"]),
    ("--sessions_max=99999999999999999999", ["--sessions_max", "99999999999999999999"]),
    ("--poison_freed_slots=yes", ["--poison_freed_slots", "yes", "true or false"]),
    ("--listen=nowhere", ["listen", "nowhere"]),
    ("--listen=127.0.0.1:99999", ["listen", "99999"]),
    ("--metrics_listen=127.0.0.1", ["metrics_listen", "127.0.0.1"]),
    ("word", ["word", "--help"]),
])
def test_bad_flag(flag, words):
    refused(USAGE, *words, flags=[flag])


def test_no_model():
    refused(USAGE, "--model", "required", model=None)


@pytest.mark.parametrize("text, words", [
    ("{", ["JSON"]),
    ("", ["JSON"]),
    ("[]", ["object"]),
    ('{"thread": 1}', ["thread", "threads"]),
    ('{"threads": "1"}', ["threads", '"1"']),
    ('{"threads": 1.5}', ["threads", "1.5"]),
    ('{"threads": 1, "threads": 2}', ["threads", "twice"]),
    ('{"check_config": true}', ["check_config"]),
    ('{"backend": "gpu"}', ["backend", "gpu"]),
    ('{"listen": 8470}', ["listen", "8470"]),
])
def test_bad_config_file(tmp_path, text, words):
    path = tmp_path / "server.json"
    path.write_text(text)
    refused(CONFIG, "server.json", *words, flags=[f"--config={path}"])


def test_no_config_file(tmp_path):
    refused(CONFIG, "--config", "none.json", flags=[f"--config={tmp_path}/none.json"])


@pytest.mark.parametrize("flag, words", [
    ("--memory_bytes=1000", ["memory_bytes", "1000"]),
    ("--backend=cuda", ["cuda"]),
])
def test_what_this_machine_cannot_do(flag, words):
    refused(CONFIG, *words, flags=[flag])


def test_ports_that_are_taken():
    with Server(SMALL, "--backend=ref") as server:
        refused(PORT_TAKEN, "listen", server.address, flags=[f"--listen={server.address}"])
        refused(PORT_TAKEN, "metrics_listen", server.metrics_address,
                flags=[f"--metrics_listen={server.metrics_address}"])
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused(PORT_TAKEN, "listen", address, flags=[f"--listen={address}"])


def test_describe_and_check_config_end_well(tmp_path):
    path = tmp_path / "server.json"
    path.write_text('{"sessions_max": 3, "listen": "127.0.0.1:0"}')
    code, out, _ = run(SERVER, f"--model={SMALL}", f"--config={path}", "--describe", "--backend=cpu")
    assert code == 0 and "bytes_per_session" in out and "sessions_max = 3" in out
    code, out, _ = run(SERVER, f"--model={SMALL}", f"--config={path}", "--check_config", "--backend=cpu")
    assert (code, out) == (0, "ok\n")
    code, out, _ = run(SERVER, "--help")
    assert code == 0 and "--step_tokens_max" in out
    assert run(SERVER, "--version")[0] == 0

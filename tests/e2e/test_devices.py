"""Several devices in one server, each with an engine of its own, here on one processor: who calls cannot tell, but by how
much fits."""
import random
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from client import Client, failed, failure, greedy
from conftest import DEMO, TINY
from lines import go_on
from redis import Redis
from server import SERVER, Server, run, until
from test_hang import LONG, fails
from test_tiers import live, schedule, state_bytes_of, with_places

CPU = ["--backend=cpu", "--threads=1"]


def sessions_of(client):
    return [s.name for s in client.list_sessions(page_size=1000).sessions]


def test_what_fits_is_told_of_all_together():
    with Server(TINY, *CPU, "--devices=3", "--sessions_max=12") as server, Client(server.address) as client:
        told = client.model()
        assert (told.backend.devices, told.backend.threads) == (3, 3)
        assert told.backend.device.startswith("3 x cpu")
        assert told.memory.sessions_max == told.memory.sessions_total_max == server.sessions_max == 12
        for i in range(12):
            client.create_session(f"s{i:02}")
        got = failed(lambda: client.create_session("more"))
        assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX")
        metrics = server.settled(sessions=12)
        assert metrics["barista_sessions_max"] == metrics['barista_sessions{tier="device"}'] == 12
        assert metrics['barista_device_memory_bytes{use="weights"}'] == 3 * told.memory.weight_bytes
        assert '"devices":3' in server.log()


def test_pages_hold_sessions_of_all_devices_in_order(rng):
    with Server(TINY, *CPU, "--devices=3", "--sessions_max=20") as server, Client(server.address) as client:
        names = [client.create_session(f"{rng.getrandbits(40):x}").name for _ in range(20)]
        assert sessions_of(client) == sorted(names)
        for size in (1, 3, 7, 20):
            token, pages = None, []
            while token != "":
                page = client.list_sessions(page_size=size, page_token=token)
                assert page.total_size == 20 and len(page.sessions) <= size
                pages += [s.name for s in page.sessions]
                token = page.next_page_token
            assert pages == sorted(names)


@pytest.mark.parametrize("devices", [2, 3])
def test_bits_do_not_depend_on_devices(tmp_path, full, devices):
    """Several callers, more sessions than slots, against a server with one device that has a slot for each."""
    sessions = 24 if full else 12
    plan = schedule(random.Random(devices), sessions, sessions * (60 if full else 8), 0.9)
    names = [f"s{i:03}" for i in range(sessions)]
    places = with_places(tmp_path / "few", state_bytes_of(TINY, "--backend=cpu"), 2 * devices, 4 * devices,
                         devices * sessions)
    kept = f"--checkpoint_bytes={1 << 30}"  # enough for all: what rewinds may reach is compared
    with (Server(TINY, *CPU, *places, kept, f"--devices={devices}") as server, Client(server.address) as client):
        vocabulary = client.model().architecture.vocab_size
        got = live(client, names, plan, vocabulary, 2 * devices + 2)
        metrics = server.metrics()
        assert metrics['barista_evictions_total{tier="host"}'] > 0  # how many move is chance; tests/engine sees to some
        assert metrics["barista_state_nonfinite_total"] == 0
    with (Server(TINY, *CPU, kept, f"--sessions_max={sessions + 1}", f"--state_dir={tmp_path / 'all'}") as server,
          Client(server.address) as client):
        assert got == live(client, names, plan, vocabulary, 1)
    print(f"result: devices: {len(plan)} calls on {sessions} sessions, {2 * devices} slots on {devices} devices, "
          f"{metrics['barista_session_moves_total']:.0f} sessions moved: same bits as one device")


def test_a_restart_with_other_devices_finds_the_sessions(tmp_path, lines):
    state, at = [f"--state_dir={tmp_path}", "--sessions_max=4"], {}
    for devices in (1, 3, 2):
        with Server(TINY, *CPU, *state, f"--devices={devices}") as server, Client(server.address) as client:
            assert sessions_of(client) == sorted(at)
            if not at:
                at = {client.create_session(f"s{i}").name: 0 for i in range(4)}
            for i, name in enumerate(at):
                at[name] = go_on(client, lines(i), name, 30, at[name])


def test_servers_hand_sessions_of_all_devices_over(tmp_path, lines):
    with Redis(tmp_path) as redis:
        flags = [*CPU, f"--redis={redis.address}", "--sessions_max=8"]
        with (Server(TINY, *flags, "--devices=3") as a, Client(a.address) as at_a,
              Server(TINY, *flags, "--devices=2") as b, Client(b.address) as at_b):
            at = {at_a.create_session(f"s{i}").name: 0 for i in range(6)}
            for turn in range(4):
                for i, name in enumerate(at):
                    at[name] = go_on((at_a, at_b)[turn % 2], lines(i), name, 10, at[name])
            assert failed(lambda: at_b.create_session("s1")).reason == "SESSION_EXISTS"
            assert a.stop() == 0
            for i, name in enumerate(at):
                go_on(at_b, lines(i), name, 10, at[name])


def test_where_one_device_hangs_the_sessions_of_the_others_are_kept(tmp_path):
    flags = ["--backend=ref", "--step_tokens_max=8192", "--sessions_max=8", f"--state_dir={tmp_path}"]
    with (Server(DEMO, *flags, "--step_timeout_seconds=1", "--devices=2") as server, Client(server.address) as client,
          ThreadPoolExecutor() as pool):
        names = [client.create_session(f"s{i}").name for i in range(4)]
        for name in names:
            client.append(name, [7, 8, 9])
        hangs = pool.submit(fails, client, greedy(LONG, 1, session=names[0]))
        assert hangs.result().reason == "ENGINE_FAILED"
        assert server.wait(60) == 70
    with Server(DEMO, *flags) as server, Client(server.address) as client:
        kept = sessions_of(client)
        assert len(kept) == 2 and names[0] not in kept
        for name in kept:
            assert client.get_session(name).position == 3
            client.greedy(None, 2, session=name)


def test_calls_that_wait_are_spread_and_counted_together():
    flags = ["--devices=2", "--sessions_max=2", "--queue_requests_max=1"]
    with Server(TINY, *CPU, *flags) as server, Client(server.address) as client:
        endless = [client.inference.Generate(greedy([i], 1 << 20)) for i in (1, 2)]
        for stream in endless:
            next(stream)
        waits = client.inference.Generate(greedy([3], 5))
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
        got = failed(lambda: client.greedy([4], 5))
        assert (got.reason, "limit 1" in got.message) == ("QUEUE_FULL", True)
        endless[0].cancel()
        assert sum(len(m.chunk.token_ids) for m in waits) == 5
        endless[1].cancel()


@pytest.mark.parametrize("flags, message", [(["--backend=cuda", "--devices=2"], "cuda"),
                                            (["--backend=cpu", "--devices=3", "--sessions_max=2"], "sessions_max: 2")])
def test_devices_that_cannot_serve_are_an_error(flags, message):
    code, _, err = run(SERVER, f"--model={TINY}", "--listen=127.0.0.1:0", *flags)
    assert code == 78 and message in err


def test_a_call_gone_with_its_device_is_told(tmp_path):
    """Those on other devices go on until the server says that it drains."""
    flags = ["--backend=ref", "--step_tokens_max=8192", "--sessions_max=4", "--step_timeout_seconds=1", "--devices=2"]
    with Server(DEMO, *flags) as server, Client(server.address) as client, ThreadPoolExecutor() as pool:
        good = client.inference.Generate(greedy([1], 1 << 20))
        next(good)
        hangs = pool.submit(fails, client, greedy(LONG, 1))
        assert hangs.result().reason == "ENGINE_FAILED"
        with pytest.raises(grpc.RpcError) as ended:
            list(good)
        assert failure(ended.value).reason == "DRAINING"
        assert server.wait(60) == 70

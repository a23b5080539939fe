"""--access_file: who may call what, whose a session is, and files that change while the server runs."""
import contextlib
import json
import random

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf import descriptor_pool

from access_files import Authority, access, bearer, put
from client import Client, failed, greedy
from conftest import TINY
from refusal import CONFIG, refused
from server import Server, until
from stubs import inference, session
from test_tenants import calls_on

ADMIN, RED, BLUE = "admin-key-0", "red-key-0", "blue-key-0"
KEYS = {ADMIN: ("ops", True), RED: "red", BLUE: "blue"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("access")
    path = directory / "access.json"
    path.write_text(access(KEYS))
    with Server(TINY, "--backend=cpu", "--sessions_max=8", f"--access_file={path}",
                f"--state_dir={directory / 'state'}") as server:
        server.access_file = path
        yield server


@pytest.fixture
def callers(server):
    """callers(key): a client that shows this key; None shows none."""
    with contextlib.ExitStack() as stack:
        made = {}

        def get(key):
            if key not in made:
                made[key] = stack.enter_context(Client(server.address, metadata=bearer(key) if key else ()))
            return made[key]
        yield get
        for key, client in made.items():
            if key in (RED, BLUE, ADMIN):
                client.delete_sessions()
                for snapshot in client.list_snapshots(1000).snapshots:
                    client.delete_snapshot(snapshot.name)


def methods(client):
    """{"/package.Service/Method"} of every service that the server has, by reflection."""
    database = ProtoReflectionDescriptorDatabase(client.channel)
    pool = descriptor_pool.DescriptorPool(database)
    found = set()
    for service in database.get_services():
        found |= {f"/{service}/{m.name}" for m in pool.FindServiceByName(service).methods}
    return found


def answer(client, method, metadata=()):
    """Code of the answer to a call with one empty message."""
    call = client.channel.stream_stream(method)(iter([b""]), timeout=5, metadata=metadata)
    try:
        list(call)
    except grpc.RpcError:
        pass
    return call.code().name


def test_every_method_of_every_service_asks_for_a_key(callers):
    all_methods = methods(callers(ADMIN))
    assert len(all_methods) >= 30
    health = {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    assert health < all_methods
    for method in all_methods - health:
        for key in (None, "", "wrong", RED[:-1], RED + "x", RED.upper()):
            assert answer(callers(key), method) == "UNAUTHENTICATED", (method, key)
        admins = method.startswith(("/grpc.reflection.", "/grpc.channelz."))
        assert (answer(callers(RED), method) == "PERMISSION_DENIED") == admins, method
        assert answer(callers(ADMIN), method) not in ("UNAUTHENTICATED", "PERMISSION_DENIED"), method
    for key in (None, RED):
        assert answer(callers(key), "/grpc.health.v1.Health/Check") == "OK"
    assert answer(callers(None), "/barista.v1.NoService/Method") == "UNAUTHENTICATED"
    assert answer(callers(RED), "/barista.v1.NoService/Method") == "UNIMPLEMENTED"


def test_health_needs_no_key(server):
    with grpc.insecure_channel(server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert check.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("metadata", [
    [("authorization", RED)], [("authorization", f"Basic {RED}")], [("authorization", f"Bearer  {RED}")],
    [("authorization", f"Bearer {RED}"), ("authorization", f"Bearer {RED}")],
    [("authorization", f"Bearer {BLUE}"), ("authorization", f"Bearer {ADMIN}")],
    [("x-api-key", RED)], [("x-barista-tenant", "red")], [("authorization-bin", b"Bearer " + RED.encode())]])
def test_what_is_no_key(callers, metadata):
    assert answer(callers(None), "/barista.v1.ModelService/GetModel", metadata) == "UNAUTHENTICATED"


def test_nothing_but_the_key_says_who_calls(server, rng):
    """Neither the authority nor the path: what stands there opens nothing and changes no tenant."""
    with Client(server.address, metadata=bearer(RED)) as red:
        red.create_session("mine")
        for authority in ["blue", "red", "ops", "localhost", "127.0.0.1", "admin", "[::1]", "barista.v1",
                          *("".join(rng.choices("abc.-:/@%0", k=rng.randrange(1, 40))) for _ in range(92))]:
            options = ("grpc.default_authority", authority)
            with (Client(server.address, options) as nobody,
                  Client(server.address, options, metadata=bearer(BLUE)) as blue):
                assert failed(nobody.model).code in ("UNAUTHENTICATED", "UNAVAILABLE"), authority
                got = failed(lambda b=blue: b.get_session("sessions/mine"))
                assert got.reason == "SESSION_NOT_FOUND" or got.code == "UNAVAILABLE", authority
        for _ in range(100):
            method = list("/barista.v1.ModelService/GetModel")
            for _ in range(rng.randrange(1, 3)):
                method[rng.randrange(len(method))] = rng.choice("/%.?#;\\aA0 ")
            path = "".join(method)
            if path != "/barista.v1.ModelService/GetModel":
                assert answer(red, path) in ("UNIMPLEMENTED", "INTERNAL", "INVALID_ARGUMENT"), path
                with Client(server.address) as nobody:
                    assert answer(nobody, path) in ("UNAUTHENTICATED", "INTERNAL"), path
        red.delete_sessions()


def test_calls_on_one_connection_have_each_their_own_key(server):
    """What gRPC keeps of a call's identity belongs to the connection; ours does not."""
    with Client(server.address) as client:
        method = "/barista.v1.ModelService/GetModel"
        keys = [(None, "UNAUTHENTICATED"), (RED, "OK"), ("wrong", "UNAUTHENTICATED"), (ADMIN, "OK")] * 10
        random.Random(5).shuffle(keys)
        for key, code in keys:
            assert answer(client, method, bearer(key) if key else ()) == code


def all_calls_on(client):
    """As calls_on, Converse too."""
    start = inference.ConverseRequest(start={"session": "sessions/secret"})
    return {**calls_on(client), "Converse": lambda: list(client.inference.Converse(iter([start]), timeout=30))}


def test_what_another_tenant_has_does_not_exist(callers):
    red, blue = callers(RED), callers(BLUE)
    names_none = {"Score", "Classify", "Tokenize", "Detokenize", "GetModel", "CreateSession", "ImportSession",
                  "ListSessions", "ListSnapshots"}
    ours = {method.rsplit("/")[-1] for method in methods(callers(ADMIN)) if method.startswith("/barista.v1.")}
    assert ours - names_none <= set(all_calls_on(blue)), "a method that names a session or a snapshot is missing here"
    absent = {method: failed(call) for method, call in all_calls_on(blue).items()}
    red.append(red.create_session("secret").name, [1, 2, 3])
    red.snapshot("sessions/secret", "secret")
    for client in (blue, callers(ADMIN)):
        for method, call in all_calls_on(client).items():
            assert failed(call) == absent[method], method
            assert absent[method].code == "NOT_FOUND"
    assert red.get_session("sessions/secret").position == 3
    assert red.get_snapshot("snapshots/secret").position == 3


def test_two_keys_of_a_tenant_share_its_sessions(server, callers):
    callers(RED).create_session("shared")
    put(server.access_file, access({**KEYS, "red-key-1": "red"}))
    with Client(server.address, metadata=bearer("red-key-1")) as second:
        until(lambda: answer(second, "/barista.v1.ModelService/GetModel") == "OK", what="the new key")
        assert second.get_session("sessions/shared").position == 0
        put(server.access_file, access(KEYS))
        until(lambda: answer(second, "/barista.v1.ModelService/GetModel") == "UNAUTHENTICATED", what="its end")


def test_a_key_that_is_withdrawn_leaves_running_calls(server, callers):
    red = callers(RED)
    stream = red.inference.Generate(greedy([1], 1 << 20), timeout=60)
    next(stream)
    put(server.access_file, access({ADMIN: ("ops", True)}))
    until(lambda: answer(red, "/barista.v1.ModelService/GetModel") == "UNAUTHENTICATED", what="the key's end")
    for _ in range(3):
        next(stream)
    stream.cancel()
    put(server.access_file, access(KEYS))
    until(lambda: answer(red, "/barista.v1.ModelService/GetModel") == "OK", what="the key's return")


def test_a_bad_file_changes_nothing_and_is_counted(server, callers):
    failures = 'barista_reload_failures_total{what="access"}'
    before = server.metrics()[failures]
    for count, text in enumerate(["{", '{"keys": [{"sha256": "12", "tenant": "a"}]}', '{"keys": [], "tenant": {}}'], 1):
        put(server.access_file, text)
        until(lambda c=count: server.metrics()[failures] == before + c, what="a refusal")
        callers(RED).model()
    assert "keys[0]" in server.log() and "did you mean" in server.log()
    put(server.access_file, access(KEYS))


def test_only_an_admin_imports_for_others(callers):
    red, blue, admin = callers(RED), callers(BLUE), callers(ADMIN)
    red.append(red.create_session("mine").name, [1, 2, 3])
    data = red.export_session("sessions/mine")
    red.delete_session("sessions/mine")

    def import_for(client, tenant):
        message = session.ImportSessionRequest(session_id="mine", data=data)
        return client.sessions.ImportSession(iter([message]), timeout=30, metadata=[("x-barista-tenant", tenant)])
    assert failed(lambda: import_for(blue, "red")).reason == "ADMIN_KEY_REQUIRED"
    assert failed(lambda: import_for(admin, "r/d")).code == "INVALID_ARGUMENT"
    assert import_for(admin, "red").session.position == 3
    assert red.get_session("sessions/mine").position == 3
    assert failed(lambda: admin.get_session("sessions/mine")).reason == "SESSION_NOT_FOUND"
    red.delete_session("sessions/mine")
    assert import_for(red, "red").session.position == 3


def test_sessions_go_to_a_peer_with_tls_and_keys(tmp_path):
    authority = Authority(tmp_path / "ca")
    cert, key = authority.pair("server")
    own_cert, own_key = authority.pair("old")
    path, api_key = tmp_path / "access.json", tmp_path / "api_key"
    path.write_text(access(KEYS))
    api_key.write_text(ADMIN + "\n")
    credentials = authority.credentials("client")
    with Server(TINY, "--backend=cpu", f"--tls_cert_file={cert}", f"--tls_key_file={key}", f"--access_file={path}",
                f"--tls_client_ca_file={authority.cert}") as heir:
        with (Server(TINY, "--backend=cpu", f"--access_file={path}", f"--drain_peer={heir.address}",
                     f"--peer_ca_file={authority.cert}", f"--peer_api_key_file={api_key}",
                     f"--peer_cert_file={own_cert}", f"--peer_key_file={own_key}") as old,
              Client(old.address, metadata=bearer(RED)) as red, Client(old.address, metadata=bearer(BLUE)) as blue):
            for client, tokens in ((red, [1, 2]), (blue, [3])):
                client.append(client.create_session("same").name, tokens)
            assert old.stop() == 0
        for key, position in ((RED, 2), (BLUE, 1)):
            with Client(heir.address, credentials=credentials, metadata=bearer(key)) as client:
                assert client.get_session("sessions/same").position == position


@pytest.mark.parametrize("text, words", [
    ("", ["JSON"]), ("{}", ["keys"]), ('{"keys": [{"sha256": "12"}]}', ["keys[0]"]),
    (json.dumps({"keys": [], "tenants": {"a": {"streams": 1}}}), ["tenants", "streams", "streams_max"])])
def test_a_bad_file_at_start(tmp_path, text, words):
    path = tmp_path / "access.json"
    path.write_text(text)
    refused(CONFIG, "access_file", "access.json", *words, flags=[f"--access_file={path}"])


def test_no_file_at_start(tmp_path):
    refused(CONFIG, "access_file", "none.json", flags=[f"--access_file={tmp_path}/none.json"])
    refused(CONFIG, "drain_peer", "none.pem", flags=["--drain_peer=a:1", f"--peer_ca_file={tmp_path}/none.pem"])

"""--tenant_header: for each tenant the server is as if it were alone."""
import random

import pytest

from client import Client, failed, request
from conftest import GOLDEN
from server import Server, state_files
from stubs import inference, session as proto
from test_sessions import SAMPLINGS, go_on, length, observed

MODEL = GOLDEN / "variants/macchiato-conv-rope"
HEADER = "x-barista-tenant"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("state")
    with Server(MODEL, "--backend=cpu", "--sessions_max=4", f"--state_dir={directory}",
                f"--tenant_header={HEADER}") as server:
        server.directory = directory
        yield server


@pytest.fixture
def tenants(server):
    """Clients of "red", "blue" and no tenant."""
    clients = [Client(server.address, metadata=[(HEADER, name)] if name else ()) for name in ("red", "blue", "")]
    yield clients
    for client in clients:
        client.delete_sessions()
        for snapshot in client.list_snapshots(1000).snapshots:
            client.delete_snapshot(snapshot.name)
        client.channel.close()
    assert state_files(server.directory / "snapshots") == []


def test_the_same_id_is_another_session_for_each(tenants):
    for i, client in enumerate(tenants):
        assert client.create_session("same").position == 0
        client.append("sessions/same", [1] * (i + 1))
        client.snapshot("sessions/same", "kept", {"tenant": str(i)})
    for i, client in enumerate(tenants):
        assert client.get_session("sessions/same").position == i + 1
        assert [s.name for s in client.list_sessions().sessions] == ["sessions/same"]
        assert dict(client.get_snapshot("snapshots/kept").tags) == {"tenant": str(i)}
        assert client.restore("snapshots/kept", "again").session.position == i + 1
        assert failed(lambda c=client: c.create_session("same")).reason == "SESSION_EXISTS"
    tenants[0].delete_session("sessions/same")
    tenants[0].delete_snapshot("snapshots/kept")
    assert tenants[1].get_session("sessions/same").position == 2
    assert tenants[1].get_snapshot("snapshots/kept").position == 2


def calls_on(client):
    """{method: a call that names the session "sessions/secret" or the snapshot "snapshots/secret"}"""
    name, snapshot = "sessions/secret", "snapshots/secret"
    return {
        "GetSession": lambda: client.get_session(name),
        "DeleteSession": lambda: client.delete_session(name),
        "ForkSession": lambda: client.fork_session(name, "copy"),
        "ExportSession": lambda: client.export_session(name),
        "SnapshotSession": lambda: client.snapshot(name, "mine"),
        "RewindSession": lambda: client.rewind(name, tokens=1),
        "Generate": lambda: client.greedy([1], 1, session=name),
        "GenerateOn": lambda: client.greedy(None, 1, session=name),
        "Append": lambda: client.append(name, [1]),
        "RestoreSession": lambda: client.restore(snapshot),
        "RestoreReplace": lambda: client.restore(snapshot, "secret", replace=True),
        "GetSnapshot": lambda: client.get_snapshot(snapshot),
        "DeleteSnapshot": lambda: client.delete_snapshot(snapshot)}


def test_what_another_tenant_has_does_not_exist(tenants):
    """The same answer, to the word, as for what nobody has."""
    owner, *others = tenants
    absent = {method: failed(call) for method, call in calls_on(owner).items()}
    for method, got in absent.items():
        assert got.code == "NOT_FOUND" and got.reason in ("SESSION_NOT_FOUND", "SNAPSHOT_NOT_FOUND"), method
    owner.create_session("secret")
    owner.append("sessions/secret", [1, 2, 3])
    owner.snapshot("sessions/secret", "secret")
    for other in others:
        for method, call in calls_on(other).items():
            assert failed(call) == absent[method], method
        for page in (other.list_sessions(), other.list_snapshots()):
            assert page.total_size == 0 and page.next_page_token == ""
        assert len(other.list_sessions().sessions) == len(other.list_snapshots().snapshots) == 0
    assert owner.get_session("sessions/secret").position == 3
    assert owner.get_snapshot("snapshots/secret").position == 3


def test_a_running_session_of_another_is_not_told_of_either(tenants):
    owner, other, _ = tenants
    owner.create_session("secret")
    stream = owner.inference.Generate(request([1], {}, length(1 << 20), session="sessions/secret"), timeout=60)
    next(stream)
    for method, call in calls_on(other).items():
        assert failed(call).code == "NOT_FOUND", method
    assert failed(lambda: owner.append("sessions/secret", [1])).reason == "SESSION_BUSY"
    stream.cancel()


def test_lists_show_a_tenants_own_page_by_page(tenants):
    rng = random.Random(3)
    wanted = []
    for client in tenants:
        ids = sorted({f"{rng.choice('ABab-._')}{rng.randrange(1000)}" for _ in range(7)})
        for session_id in rng.sample(ids, len(ids)):
            client.snapshot(client.create_session(session_id).name, session_id)
        wanted.append(ids)
    for client, ids in zip(tenants, wanted):
        for kind, list_page, field in (("sessions", client.list_sessions, "sessions"),
                                       ("snapshots", client.list_snapshots, "snapshots")):
            for size in (1, 3, 1000):
                names, token = [], None
                while token != "":
                    page = list_page(size, token)
                    assert page.total_size == len(ids)
                    names += [x.name for x in getattr(page, field)]
                    token = page.next_page_token
                assert names == [f"{kind}/{i}" for i in ids]


def test_names_that_look_like_another_tenants_are_refused(tenants):
    """The server joins tenant and id; no id holds what joins them."""
    red = tenants[0]
    red.create_session("secret")
    nobody = tenants[2]
    for name in ("sessions/red@secret", "sessions/@secret", "sessions/red/secret", "sessions/../secret"):
        got = failed(lambda n=name: nobody.get_session(n))
        assert (got.code, got.fields) == ("INVALID_ARGUMENT", ["name"])


@pytest.mark.parametrize("tenant", ["", "x" * 65, "a b", "a@b", "a/b"])
def test_a_tenant_that_is_none_is_refused_by_every_call(server, tenant):
    with Client(server.address, metadata=[(HEADER, tenant)]) as client:
        # gRPC itself cuts white space at the ends, not within.
        for call in (client.create_session, client.list_sessions, client.list_snapshots,
                     lambda: client.greedy([1], 1), *calls_on(client).values()):
            got = failed(call)
            assert (got.code, got.reason, got.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", [HEADER]), tenant


def test_without_the_flag_the_header_means_nothing(servers):
    server = servers(MODEL, "--backend=cpu")
    with (Client(server.address, metadata=[(HEADER, "red")]) as red,
          Client(server.address, metadata=[(HEADER, "not a tenant")]) as other):
        red.create_session("shared")
        other.append("sessions/shared", [1])
        other.delete_session("sessions/shared")


def test_sessions_are_still_their_tenants_after_a_restart(tmp_path):
    flags = ["--backend=cpu", "--sessions_max=1", f"--state_dir={tmp_path}", f"--tenant_header={HEADER}"]
    wanted = {}
    with Server(MODEL, *flags) as server:
        for tenant in ("red", "blue"):
            with Client(server.address, metadata=[(HEADER, tenant)]) as client:
                client.append(client.create_session("same").name, [1, 2, 3] * len(tenant))
                client.snapshot("sessions/same", "kept")
                wanted[tenant] = observed(go_on(client, "sessions/same", 9, SAMPLINGS["penalties"]))
                client.restore("snapshots/kept", "same", replace=True)
    with Server(MODEL, *flags) as server:
        for tenant in ("blue", "red"):
            with Client(server.address, metadata=[(HEADER, tenant)]) as client:
                assert [s.name for s in client.list_sessions().sessions] == ["sessions/same"]
                assert observed(go_on(client, "sessions/same", 9, SAMPLINGS["penalties"])) == wanted[tenant]
                assert client.get_snapshot("snapshots/kept").position == 3 * len(tenant)
        with Client(server.address) as nobody:
            assert nobody.list_sessions().total_size == nobody.list_snapshots().total_size == 0


def test_a_file_that_was_renamed_to_another_tenants_is_not_theirs(tmp_path):
    """Names are part of what is read."""
    flags = ["--backend=cpu", "--sessions_max=1", f"--state_dir={tmp_path}", f"--tenant_header={HEADER}"]
    with (Server(MODEL, *flags) as server, Client(server.address, metadata=[(HEADER, "red")]) as red,
          Client(server.address, metadata=[(HEADER, "blue")]) as blue):
        red.snapshot(red.create_session("a").name, "kept")
        (file,) = state_files(tmp_path / "snapshots")
        assert file.name == "red@kept.state"
        file.rename(file.with_name("blue@kept.state"))
        got = failed(lambda: blue.restore("snapshots/kept"))
        assert got.code in ("FAILED_PRECONDITION", "DATA_LOSS"), got
        assert blue.list_sessions().total_size == 0


def test_an_import_is_the_importers(tenants):
    red, blue, _ = tenants
    red.append(red.create_session("mine").name, [1, 2, 3])
    data = red.export_session("sessions/mine")
    got = failed(lambda: blue.import_session(data, "stolen"))
    assert (got.code, got.reason) == ("FAILED_PRECONDITION", "MODEL_MISMATCH")
    assert red.import_session(data, "copy").position == 3


def test_append_streams_and_imports_carry_the_tenant_too(server, tenants):
    red, blue, _ = tenants
    red.create_session("a")
    ids = inference.TokenIds(ids=[1])
    got = failed(lambda: blue.inference.Append(iter([inference.AppendRequest(session="sessions/a", tokens=ids)])))
    assert got.reason == "SESSION_NOT_FOUND"
    assert failed(lambda: list(blue.sessions.ExportSession(proto.ExportSessionRequest(name="sessions/a")))).reason == (
        "SESSION_NOT_FOUND")

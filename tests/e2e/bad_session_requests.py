"""Rows about what a session keeps: snapshots, rewinds, exports and imports, appends, marks, sealed states."""
from client import request
from rows import GENERATE, IDS, PRECONDITION, invalid, wire
from stubs import inference, session

APPEND = "InferenceService/Append"
EXPORT, IMPORT, SNAPSHOT, RESTORE, GET, LIST, DELETE, REWIND = (f"SessionService/{m}" for m in (
    "ExportSession", "ImportSession", "SnapshotSession", "RestoreSession", "GetSnapshot", "ListSnapshots",
    "DeleteSnapshot", "RewindSession"))
PREFIXES = (b"a", b"session/a", b"Sessions/a", b" sessions/a", b"sessions", b"\xff" * 300)
NAMED = {"snapshot": SNAPSHOT, "rewind": REWIND, "export": EXPORT}           # "sessions/ID" in `name`, number 1
KEPT = {"restore": (RESTORE, "snapshot"), "get-snapshot": (GET, "name"), "delete-snapshot": (DELETE, "name")}


def name_rows():
    for title, method in NAMED.items():
        rest = wire(3, b"m") if method == REWIND else b""
        for name, (session_id, word) in IDS.items():
            yield invalid(f"{title}-{name}", wire(1, b"sessions/" + session_id) + rest, "name", word, method=method)
        for prefix in (*PREFIXES, b"snapshots/a"):
            yield invalid(f"{title}-prefix-{prefix[:11]}", wire(1, prefix) + rest, "name", "sessions/", method=method)
        yield invalid(f"{title}-no-name", b"" + rest, "name", "sessions/", method=method)
        yield invalid(f"{title}-garbage", b"\xff\xff\xff\xff", "", method=method, reason="MALFORMED_REQUEST")
        yield invalid(f"{title}-not-found", wire(1, b"sessions/none") + rest, "", "sessions/none", method=method,
                      server="kept", reason="SESSION_NOT_FOUND", code="NOT_FOUND")
    for title, (method, field) in KEPT.items():
        for name, (snapshot_id, word) in IDS.items():
            yield invalid(f"{title}-{name}", wire(1, b"snapshots/" + snapshot_id), field, word, method=method)
        for prefix in (*PREFIXES, b"sessions/a"):
            yield invalid(f"{title}-prefix-{prefix[:11]}", wire(1, prefix), field, "snapshots/", method=method)
        yield invalid(f"{title}-no-name", b"", field, "snapshots/", method=method)
        yield invalid(f"{title}-garbage", b"\xff\xff\xff\xff", "", method=method, reason="MALFORMED_REQUEST")
        yield invalid(f"{title}-not-found", wire(1, b"snapshots/none"), "", "snapshots/none", method=method,
                      server="kept", reason="SNAPSHOT_NOT_FOUND", code="NOT_FOUND")
        yield invalid(f"{title}-no-store", wire(1, b"snapshots/a"), "", "--state_dir", "--redis", method=method,
                      reason="NO_STORE", code=PRECONDITION)
    for name, (an_id, word) in IDS.items():
        yield invalid(f"snapshot-id-{name}", wire(1, b"sessions/a") + wire(2, an_id), "snapshot_id", word,
                      method=SNAPSHOT)
        yield invalid(f"restore-id-{name}", wire(1, b"snapshots/a") + wire(2, an_id), "session_id", word,
                      method=RESTORE)
        yield invalid(f"import-id-{name}", wire(1, an_id) + wire(2, b"x"), "session_id", word, method=IMPORT)
        if an_id:
            yield invalid(f"list-snapshots-{name}", wire(2, an_id), "page_token", word, method=LIST)


def snapshot_rows():
    def row(name, words, **fields):
        message = session.SnapshotSessionRequest(name="sessions/a", **fields)
        return invalid(f"snapshot-{name}", message, "tags", *words, method=SNAPSHOT)
    yield row("tags-many", (17, 16), tags={str(i): "" for i in range(17)})
    yield row("tag-key-empty", (0, "1 to 64"), tags={"": "x"})
    yield row("tag-key-long", (65, 64), tags={"k" * 65: "x"})
    yield row("tag-key-bytes", (66, 64), tags={"é" * 33: "x"})
    yield row("tag-value-long", (257, 256), tags={"k": "v" * 257})
    for name, entry in (("key", wire(1, b"\xff") + wire(2, b"v")), ("value", wire(1, b"k") + wire(2, b"a\xff"))):
        yield invalid(f"snapshot-tag-{name}-utf8", wire(1, b"sessions/a") + wire(3, entry), "tags", "UTF-8",
                      method=SNAPSHOT)
    yield invalid("snapshot-no-store", wire(1, b"sessions/a"), "", "--state_dir", "--redis", method=SNAPSHOT,
                  reason="NO_STORE", code=PRECONDITION)
    for size in (0, 1001):
        yield invalid(f"list-snapshots-{size}", session.ListSnapshotsRequest(page_size=size), "page_size", size,
                      "1 to 1000", method=LIST)
    yield invalid("list-snapshots-no-store", b"", "", "--state_dir", "--redis", method=LIST, reason="NO_STORE",
                  code=PRECONDITION)


def rewind_rows():
    def row(name, field, *words, **target):
        message = session.RewindSessionRequest(name="sessions/a", **target)
        return invalid(f"rewind-{name}", message, field, *words, method=REWIND)
    yield row("no-target", "tokens", "required", "mark", "turns")
    yield row("tokens-0", "tokens", 0, "1 to 256", tokens=0)
    yield row("tokens-257", "tokens", 257, "1 to 256", tokens=257)
    yield row("tokens-max", "tokens", 2**64 - 1, tokens=2**64 - 1)
    yield row("turns-0", "turns", 0, "1", turns=0)
    for name, (mark, word) in IDS.items():
        yield invalid(f"rewind-mark-{name}", wire(1, b"sessions/a") + wire(3, mark), "mark", word, method=REWIND)


def append_rows():
    def row(name, field, *words, **fields):
        return invalid(f"append-{name}", append(session="sessions/a", **fields), field, *words, method=APPEND)
    append, ids = inference.AppendRequest, inference.TokenIds
    some = wire(3, wire(1, b"\1"))
    for name, (session_id, word) in IDS.items():
        yield invalid(f"append-session-{name}", wire(1, b"sessions/" + session_id) + some, "session", word,
                      method=APPEND)
        if session_id:
            yield invalid(f"append-mark-{name}", wire(1, b"sessions/a") + some + wire(4, session_id), "mark", word,
                          method=APPEND)
    for prefix in (*PREFIXES, b"snapshots/a"):
        yield invalid(f"append-prefix-{prefix[:11]}", wire(1, prefix) + some, "session", "sessions/", method=APPEND)
    yield invalid("append-no-session", some, "session", "sessions/", method=APPEND)
    yield row("nothing", "text", "required")
    yield row("empty-text", "text", "empty", text="")
    yield row("no-ids", "tokens.ids", "at least one", tokens=ids())
    yield row("id", "tokens.ids[1]", 260, tokens=ids(ids=[1, 260]))
    yield invalid("append-utf8", wire(1, b"sessions/a") + wire(2, b"a\xff"), "text", "UTF-8", 1, method=APPEND)
    too_long = {"method": APPEND, "reason": "PROMPT_TOO_LONG"}
    yield invalid("append-bytes", append(session="sessions/a", text="x" * 4001), "text", 4001, 4000, **too_long)
    yield invalid("append-tokens", append(session="sessions/a", tokens=ids(ids=[1] * 2001)), "tokens.ids", 2001, 2000,
                  **too_long)
    yield invalid("append-tokens-of-text", append(session="sessions/a", text="x" * 2001), "text", 2001, 2000, **too_long)
    yield invalid("append-without-tokenizer", append(session="sessions/a", text="a"), "text", "tokenizer",
                  method=APPEND, server="ids", reason="NO_TOKENIZER", code=PRECONDITION)
    yield invalid("append-not-found", append(session="sessions/none", tokens=ids(ids=[1])), "", "sessions/none",
                  method=APPEND, reason="SESSION_NOT_FOUND", code="NOT_FOUND")
    yield invalid("append-garbage", b"\xff\xff\xff\xff", "", method=APPEND, reason="MALFORMED_REQUEST")


def import_rows():
    corrupt = {"method": IMPORT, "reason": "SNAPSHOT_CORRUPT"}
    yield invalid("import-nothing", b"", "", **corrupt)
    yield invalid("import-short", wire(2, b"BaristaS"), "", **corrupt)
    yield invalid("import-other", wire(2, b"x" * 1000), "", **corrupt)
    yield invalid("import-long", wire(2, b"x" * 1_000_000), "", "more than", **corrupt)
    yield invalid("import-garbage", b"\xff\xff\xff\xff", "", method=IMPORT, reason="MALFORMED_REQUEST")


def generate_rows():
    for name, (mark, word) in IDS.items():
        if mark:
            yield invalid(f"mark-{name}", request([5], session="sessions/a").SerializeToString() + wire(12, mark),
                          "mark", word)
    yield invalid("mark-without-session", request([5], mark="a"), "mark", "session")
    yield invalid("mark-with-sealed-state", request([5], mark="a", sealed_state=b"x"), "mark", "session", server="kept")
    for title, fields in (("seal", {"seal": True}), ("sealed_state", {"sealed_state": b"x"})):
        yield invalid(f"{title}-with-session", request([5], session="sessions/a", **fields), title, "session",
                      server="kept")
        yield invalid(f"{title}-without-key", request([5], **fields), "", "--seal_key_file", reason="NO_SEAL_KEY",
                      code=PRECONDITION)
        yield invalid(f"{title}-with-n", request([5], n=2, **fields), "n", 2, server="kept")
    for title, fields in (("echo", {"echo": True}), ("prompt_logprobs", {"prompt_logprobs": 0})):
        yield invalid(f"sealed_state-with-{title}", request([5], sealed_state=b"x", **fields), title, "sealed",
                      server="kept")
    for name, state in (("empty", b""), ("short", b"x"), ("zeros", bytes(10_000)), ("long", b"BaristaE" * 1_000_000)):
        yield invalid(f"sealed_state-{name}", request([5], sealed_state=state), "", "sealed_state", "key", server="kept",
                      reason="SEALED_STATE_REFUSED", code="PERMISSION_DENIED")


def classifier_rows():
    wrong = {"server": "classifier", "reason": "WRONG_TASK", "code": PRECONDITION}
    some = wire(3, wire(1, b"\1"))
    for title, method, payload in (("rewind", REWIND, wire(1, b"sessions/a") + wire(3, b"m")),
                                   ("export", EXPORT, wire(1, b"sessions/a")), ("import", IMPORT, wire(2, b"x")),
                                   ("append", APPEND, wire(1, b"sessions/a") + some),
                                   ("seal", GENERATE, request([5], seal=True))):
        yield invalid(f"{title}-on-classifier", payload, "", "classifier", method=method, **wrong)


def past_rows():
    for rows in (name_rows, snapshot_rows, rewind_rows, append_rows, import_rows, generate_rows, classifier_rows):
        yield from rows()

"""Bytes that are no request, or almost one, to every method: an answer or a refusal, and a server as before."""
import random

import grpc

from client import Client, failure
from conftest import TINY
from lines import go_on
from server import Server
from stubs import inference, model, session, tokenizer

# Refusals; anything else (INTERNAL, UNKNOWN, a lost connection) is a fault.
REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "ABORTED",
            "OUT_OF_RANGE", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "DATA_LOSS"}


def methods():
    """{"Service/Method": its request's class}"""
    return {f"{service.name}/{method.name}": method.input_type._concrete_class
            for module in (inference, model, session, tokenizer)
            for service in module.DESCRIPTOR.services_by_name.values() for method in service.methods}


def sensible(kind, rng):
    """A message of this kind whose fields hold what may stand there, some of them."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if rng.random() < 0.5 or (field.message_type and field.message_type.GetOptions().map_entry):
            continue
        values = [value(field, rng) for _ in range(rng.randint(1, 3))]
        if field.is_repeated:
            if field.message_type:
                getattr(message, field.name).add().CopyFrom(values[0])
            else:
                getattr(message, field.name).extend(values)
        elif field.message_type:
            getattr(message, field.name).CopyFrom(values[0])
        else:
            setattr(message, field.name, values[0])
    return message


def value(field, rng):
    if field.message_type:
        return sensible(field.message_type._concrete_class, rng)
    if field.enum_type:
        return rng.choice(field.enum_type.values).number
    if field.cpp_type == field.CPPTYPE_STRING:
        text = rng.choice(("sessions/a", "snapshots/a", "a", "b", "", "x" * 100, "sessions/\n"))
        return text if field.type == field.TYPE_STRING else text.encode()
    if field.cpp_type == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice((0.0, 0.5, 1.0, -1.0, float("nan"), 1e30))
    largest = 2**31 - 1 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 2**63 - 1
    return rng.choice((0, 1, 2, 5, 64, 1000, largest))


def spoil(data, rng):
    data = bytearray(data)
    for _ in range(rng.randint(0, 3)):
        kind, at = rng.randrange(4), rng.randrange(len(data) + 1)
        if kind == 0:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 1:
            del data[at:]
        elif kind == 2 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        else:
            data += data[:at]
    return bytes(data)


def test_garbage_to_every_method(full, lines, tmp_path):
    rng, known = random.Random(10), methods()
    assert len(known) > 20
    outcomes = {}
    flags = ["--backend=cpu", "--threads=1", "--sessions_max=4", f"--state_dir={tmp_path}", "--max_tokens_max=100",
             "--deadline_seconds_max=2", "--directory_state_bytes=1000000"]
    with Server(TINY, *flags) as server, Client(server.address) as client:
        at = go_on(client, lines(0), client.create_session("mine").name, 5, 0)
        client.create_session("a")
        client.snapshot("sessions/mine", "mine")
        for _ in range(1000 if full else 12):
            for method, kind in known.items():
                pick = rng.random()
                payload = rng.randbytes(rng.randint(0, 60)) if pick < 0.2 else sensible(kind, rng).SerializeToString()
                if pick < 0.7:
                    payload = spoil(payload, rng)
                try:
                    client.raw(method, payload)
                    outcome = "OK"
                except grpc.RpcError as error:
                    outcome = failure(error).code
                    assert outcome in REFUSALS, (method, payload, failure(error))
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            at = go_on(client, lines(0), "sessions/mine", 1, at)
        client.delete_sessions()  # garbage may have made as many as there may be
        client.restore("snapshots/mine", "restored")
        go_on(client, lines(0), "sessions/restored", 3, 25)
        client.delete_sessions()
        server.settled()
    assert {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"} <= outcomes.keys()
    print(f"result: garbage to {len(known)} methods: {sum(outcomes.values())} calls, "
          + ", ".join(f"{count} {code}" for code, count in sorted(outcomes.items())))

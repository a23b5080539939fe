"""Converse: what is wrong with a start ends the stream; what is wrong with an action is answered, and it goes on."""
import pytest

from client import failed
from conftest import GOLDEN
from conversation import INVALID, NOT_FOUND, SEEDED, Conversation, append, generate, interrupt, length, start
from server import Server
from stubs import inference

MODEL = GOLDEN / "variants/macchiato-conv-rope"  # without a tokenizer


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=8", "--poison_freed_slots") as server:
        yield server


@pytest.mark.parametrize("first, code, reason, field", [
    (append([1]), "INVALID_ARGUMENT", "INVALID_FIELD", "start"),
    (interrupt(), "INVALID_ARGUMENT", "INVALID_FIELD", "start"),
    (inference.ConverseRequest(), "INVALID_ARGUMENT", "INVALID_FIELD", "start"),
    (start("nobody"), "INVALID_ARGUMENT", "INVALID_FIELD", "start.session"),
    (inference.ConverseRequest(start=inference.ConverseStart()), "INVALID_ARGUMENT", "INVALID_FIELD", "start.session"),
    (start("sessions/x", sampling={"top_p": 2}), "INVALID_ARGUMENT", "INVALID_FIELD", "start.sampling.top_p"),
    (start("sessions/x", stop={"max_tokens": 0}), "INVALID_ARGUMENT", "INVALID_FIELD", "start.stop.max_tokens"),
    (start("sessions/x", stop={"stop_strings": ["a"]}), "FAILED_PRECONDITION", "NO_TOKENIZER",
     "start.stop.stop_strings"),
    (start("sessions/nobody"), "NOT_FOUND", "SESSION_NOT_FOUND", "")])
def test_a_stream_without_a_valid_start_ends(client, first, code, reason, field):
    talk = Conversation(client)
    talk.send(first, append([1]), generate())
    got = failed(talk.read)
    talk.close()
    assert (got.code, got.reason, got.fields) == (code, reason, [field] if field and code != "NOT_FOUND" else [])
    assert not field or field in got.message


def test_a_stream_that_starts_with_other_bytes_or_nothing_ends(client):
    talk = Conversation(client, raw=True)
    talk.send(b"\xff\xff\xff")
    assert failed(talk.read).reason == "MALFORMED_REQUEST"
    talk.close()
    with Conversation(client):
        pass  # nothing sent, nothing wrong


def test_a_classifier_converses_with_nobody(servers):
    talk = Conversation(servers(GOLDEN / "official/cls-bidirectional", "--backend=cpu").client)
    talk.send(start("sessions/x"))
    assert failed(talk.read).reason == "WRONG_TASK"
    talk.close()


@pytest.mark.parametrize("message, code, reason, field", [
    (generate({"top_p": 2}), INVALID, "INVALID_FIELD", "generate.sampling.top_p"),
    (generate({"logit_bias": {1 << 30: 1}}), INVALID, "INVALID_FIELD", f"generate.sampling.logit_bias[{1 << 30}]"),
    (generate(stop={"max_tokens": 0}), INVALID, "INVALID_FIELD", "generate.stop.max_tokens"),
    (generate(stop={"stop_strings": ["a"]}), 9, "NO_TOKENIZER", "generate.stop.stop_strings"),
    (generate(logprobs=21), INVALID, "INVALID_FIELD", "generate.logprobs"),
    (generate(mark="a b"), INVALID, "INVALID_FIELD", "generate.mark"),
    (append([1], mark="x" * 65), INVALID, "INVALID_FIELD", "append.mark"),
    (append([1, 2, 1 << 31]), INVALID, "INVALID_FIELD", "append.tokens.ids[2]"),
    (append([]), INVALID, "INVALID_FIELD", "append.tokens.ids"),
    (inference.ConverseRequest(append=inference.ConverseAppend()), INVALID, "INVALID_FIELD", "append.text"),
    (append("text"), 9, "NO_TOKENIZER", "append.text"),
    (start("sessions/x"), INVALID, "INVALID_FIELD", "start"),
    (inference.ConverseRequest(), INVALID, "INVALID_FIELD", "action")])
def test_a_mistake_is_answered_and_the_stream_goes_on(client, message, code, reason, field):
    name = client.create_session().name
    with Conversation(client, name, sampling=SEEDED, stop=length(4)) as talk:
        talk.send(append([1, 2]), message, generate())
        appended, wrong, generated = (talk.answer() for _ in range(3))
        assert wrong.failure == (code, reason, field)
        assert wrong.message.message.startswith(field) and wrong.message.session_position == 2
        assert generated.message.session_position == 6 and generated.message.seed == 11


def test_an_empty_session_has_nothing_to_go_on_from(client):
    with Conversation(client, client.create_session().name) as talk:
        got = talk.ask(generate())
        assert got.failure == (INVALID, "INVALID_FIELD", "generate") and got.message.session_position == 0


def test_malformed_bytes_are_answered_and_the_stream_goes_on(client):
    name = client.create_session().name
    with Conversation(client, name, raw=True) as talk:
        for payload in (b"\xff\xff\xff", append([1]).SerializeToString()[:-1], b"\x12\x05ab"):
            assert talk.ask(payload).failure == (INVALID, "MALFORMED_REQUEST", "")
        assert talk.ask(append([1]).SerializeToString()).message.session_position == 1


def test_the_last_position_of_full_attention_is_held(servers):
    client = servers(GOLDEN / "extra/full-rope", "--backend=cpu", "--max_positions=100").client
    with client.session() as name, Conversation(client, name, stop=length(60)) as talk:
        assert talk.ask(append([1] * 50)).kind == "appended"
        got = talk.ask(generate())
        assert got.failure == (11, "POSITION_OUT_OF_RANGE", "generate.stop.max_tokens")
        assert got.message.message.startswith("generate.stop.max_tokens:") and got.message.session_position == 50
        assert talk.ask(append([1] * 51)).failure == (11, "POSITION_OUT_OF_RANGE", "")
        assert talk.ask(generate(stop=length(50))).message.session_position == 100


def test_a_session_that_goes_away_fails_its_actions_alone(client):
    name = client.create_session("x").name
    with Conversation(client, name, stop=length(2)) as talk:
        talk.ask(append([1]))
        client.delete_session(name)
        got = talk.ask(append([1]))
        assert got.failure == (NOT_FOUND, "SESSION_NOT_FOUND", "")
        assert not got.message.HasField("session_position")
        client.create_session("x")
        assert talk.ask(append([1])).message.session_position == 1

"""Converse: random actions leave what the same calls leave, bit for bit."""
import concurrent.futures
import random

from client import Client, past_of
from conftest import GOLDEN
from conversation import CANCELLED, GREEDY, INVALID, SEEDED, Conversation, append, generate, interrupt, length, start
from server import Server

MODEL = GOLDEN / "variants/macchiato-conv-rope"  # without a tokenizer


def run_at_random(client, rng, vocabulary):
    """One stream of random actions, and the same pasts made by calls."""
    one, two = client.create_session().name, client.create_session().name
    sampling, stop, position = {**SEEDED, "seed": rng.getrandbits(60)}, length(rng.randint(1, 30)), 0
    sent = []  # what is not answered yet

    def settle(talk):
        nonlocal position
        while sent:
            kind, *rest = sent.pop(0)
            got = talk.answer()
            if kind == "append":
                client.append(two, rest[0])
                position += len(rest[0])
            elif kind == "generate" and (got.kind == "generated" or got.ids):
                draw, rules = rest
                assert got.kind == "failed" or len(got.ids) == rules["max_tokens"]
                assert client.generate(None, draw, length(len(got.ids)), session=two).ids == got.ids
                position += len(got.ids)
            assert got.kind in {"append": ["appended"], "bad": ["failed"]}.get(kind, ["generated", "failed"])
            if got.kind == "failed" and kind == "generate":
                assert got.failure[0] == CANCELLED or (got.failure[0] == INVALID and position == 0), got.message
            assert got.message.session_position == position

    with Conversation(client, one, sampling=sampling, stop=stop) as talk:
        for _ in range(rng.randint(3, 14)):
            action = rng.choice(("append", "generate", "generate", "interrupt", "bad", "wait"))
            if action == "append":
                ids = [rng.randrange(vocabulary) for _ in range(rng.choice((1, 3, 64, 70, 200)))]
                talk.send(append(ids))
                sent.append(("append", ids))
            elif action == "generate":
                if rng.random() < 0.4:
                    sampling = rng.choice((GREEDY, {**SEEDED, "seed": rng.getrandbits(60)}))
                    stop = length(rng.choice((1, 2, 40, 300)))
                    talk.send(generate(sampling, stop))
                else:
                    talk.send(generate())
                sent.append(("generate", sampling, stop))
            elif action == "interrupt":
                if sent and rng.random() < 0.5:
                    settle(talk)
                talk.send(interrupt())
            elif action == "bad":
                talk.send(rng.choice((generate({"top_p": -1}), append([1 << 31]), start(one))))
                sent.append(("bad",))
            else:
                settle(talk)
        if rng.random() < 0.5:
            talk.close()
        settle(talk)
    if position:
        assert past_of(client.export_session(one)) == past_of(client.export_session(two))
    client.delete_session(one)
    client.delete_session(two)


def test_random_actions_leave_what_the_same_calls_leave(full):
    with (Server(MODEL, "--backend=cpu", "--sessions_max=8", "--poison_freed_slots") as server,
          Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(3) as pool):
        vocabulary = client.model().architecture.vocab_size

        def run(seed):
            run_at_random(client, random.Random(f"converse {seed}"), vocabulary)
        list(pool.map(run, range(1000 if full else 50)))
        assert server.settled()["barista_state_nonfinite_total"] == 0

"""Random operations on sessions, among calls that come and go: what is left is what a list of their calls makes."""
import random
from dataclasses import dataclass, field

import pytest

from client import Client, Generation, failed, request
from conftest import DEMO, GOLDEN
from server import Server, until
from test_bits import Company
from test_sessions import SAMPLINGS, length, observed

SLOTS, KEPT_MAX = 16, 10
CALLS_MAX = 40   # of one session, so that a replay stays cheap
LONG = 3000      # tokens of a call that is cancelled
POSITIONS = CALLS_MAX * (LONG + 200)


@dataclass
class Past:
    """What the test knows of a session."""

    position: int = 0
    calls: list = field(default_factory=list)  # (prompt or None, sampling, tokens); None: not told by whole calls


class Operations:
    def __init__(self, client, rng):
        self._client, self._rng, self._made = client, rng, 0
        self._vocabulary = client.model().architecture.vocab_size
        self.pasts = {}  # by name

    def step(self):
        operation = self._rng.choice((self.create, self.delete, self.fork, self.cancel, self.fork_in_mid_stream,
                                      self.generate, self.generate, self.generate, self.refused))
        if operation == self.create or not self.pasts:
            return self.create()
        name = self._rng.choice(sorted(self.pasts))
        past = self.pasts[name]
        operation(name, past)
        assert name not in self.pasts or self._client.get_session(name).position == past.position, operation
        if past.calls is not None and len(past.calls) > CALLS_MAX and name in self.pasts:
            self.delete(name, past)

    def check(self):
        listed = {s.name: s.position for s in self._client.list_sessions().sessions}
        assert listed == {name: past.position for name, past in self.pasts.items()}

    def call(self, past):
        lengths = (1, 5, 64, 65, 150)
        prompt = None
        if past.position == 0 or self._rng.random() < 0.5:
            prompt = [self._rng.randrange(self._vocabulary) for _ in range(self._rng.choice(lengths))]
        sampling = {**self._rng.choice(list(SAMPLINGS.values())), "seed": self._rng.getrandbits(64)}
        return prompt, sampling, self._rng.randint(1, 20)

    def ids(self, count):
        self._made += count
        return [f"s{self._made - i}" for i in range(count)]

    def create(self):
        if len(self.pasts) < KEPT_MAX:
            made = self._client.create_session(*self.ids(1))
            self.pasts[made.name] = Past()

    def delete(self, name, _):
        self._client.delete_session(name)
        del self.pasts[name]
        assert failed(lambda: self._client.get_session(name)).reason == "SESSION_NOT_FOUND"

    def generate(self, name, past):
        prompt, sampling, tokens = call = self.call(past)
        got = self._client.generate(prompt, sampling, length(tokens), session=name)
        assert len(got.ids) == tokens
        self.add(past, call, past.position + len(prompt or ()) + tokens)
        assert got.summary.session_position == past.position

    def fork(self, name, past):
        count = min(self._rng.randint(1, 3), KEPT_MAX - len(self.pasts))
        if count > 0:
            for child in self._client.fork_session(name, *self.ids(count), repeat_parent=True):
                assert child.position == past.position
                self.pasts[child.name] = Past(past.position, past.calls and list(past.calls))

    def stream(self, name, call, messages):
        """A running call of which this many messages were read, and what they said."""
        prompt, sampling, tokens = call
        stream = self._client.inference.Generate(request(prompt, sampling, length(tokens), session=name), timeout=60)
        got = Generation()
        for _, message in zip(range(messages), stream):
            got.add(message)
        return stream, got

    def add(self, past, call, position):
        """The past after a call that ended there: as one that asked for the tokens that it drew."""
        prompt, sampling, _ = call
        drawn = position - past.position - len(prompt or ())
        past.position = position
        past.calls = None if past.calls is None or drawn < 1 else [*past.calls, (prompt, sampling, drawn)]

    def cancel(self, name, past):
        prompt, sampling, _ = self.call(past)
        call = prompt, sampling, LONG
        stream, got = self.stream(name, call, self._rng.randint(1, 10))
        stream.cancel()
        until(lambda: not self._client.get_session(name).busy, what="the end of a cancelled call")
        position = self._client.get_session(name).position
        seen = sum(len(c.ids) for c in got.choices.values())
        assert position >= past.position + (len(prompt or ()) if seen else 0) + seen
        self.add(past, call, position)

    def fork_in_mid_stream(self, name, past):
        if len(self.pasts) == KEPT_MAX:
            return
        prompt, sampling, _ = self.call(past)
        call = prompt, sampling, 30
        stream, got = self.stream(name, call, self._rng.randint(1, 10))
        (child,) = self._client.fork_session(name, *self.ids(1), repeat_parent=True)
        for message in stream:
            got.add(message)
        forked = self.pasts[child.name] = Past(past.position, past.calls)
        assert child.position - past.position - len(prompt or ()) <= 30
        self.add(forked, call, child.position)
        self.add(past, call, past.position + len(prompt or ()) + 30)
        assert got.summary.session_position == past.position and len(got.ids) == 30

    def refused(self, name, past):
        """What fails changes nothing."""
        taken = name.removeprefix("sessions/")
        client, bad = self._client, {"temperature": -1}
        for call in (lambda: client.create_session(taken), lambda: client.fork_session(name, "new", taken),
                     lambda: client.generate([1], bad, session=name), lambda: client.generate([1], n=2, session=name),
                     lambda: client.delete_session("sessions/nobody"),
                     lambda: client.generate([1 << 31], session=name)):
            assert failed(call).code in ("ALREADY_EXISTS", "INVALID_ARGUMENT", "NOT_FOUND")


@pytest.mark.parametrize("model, backend", [(DEMO, "cpu"), (GOLDEN / "variants/macchiato-conv-rope", "cpu"),
                                            (GOLDEN / "variants/macchiato-conv-rope", "ref"),
                                            (GOLDEN / "variants/gemma-macchiato", "cpu")],
                         ids=["demo", "conv-rope", "conv-rope-ref", "gemma-macchiato"])
def test_what_is_left_is_what_a_replay_makes(full, model, backend):
    flags = [f"--backend={backend}", f"--sessions_max={SLOTS}", "--poison_freed_slots",
             f"--max_positions={POSITIONS}"]
    rng = random.Random(f"{model.name} {backend}")
    final = SAMPLINGS["seeded"], length(16)

    def next_tokens(client, name):
        return observed(client.generate(None, *final, session=name, logprobs=2))

    with Server(model, *flags) as server, Client(server.address) as client:
        operations = Operations(client, rng)
        with Client(server.address) as others, Company(others, operations._vocabulary, 3, seed=model.name):
            for i in range(3000 if full else 120):
                operations.step()
                if i % 10 == 0:
                    operations.check()
        operations.check()
        metrics = server.settled(sessions=len(operations.pasts))
        assert metrics["barista_state_nonfinite_total"] == 0
        left = {n: p.calls for n, p in operations.pasts.items() if p.calls}
        assert left
        ends = {name: next_tokens(client, name) for name in left}
        for name in list(operations.pasts):
            client.delete_session(name)
        server.settled()
    with Server(model, *flags) as server, Client(server.address) as client:
        for name, calls in left.items():
            with client.session() as again:
                for prompt, sampling, tokens in calls:
                    client.generate(prompt, sampling, length(tokens), session=again)
                assert next_tokens(client, again) == ends[name], (name, [(len(p or ()), t) for p, _, t in calls])

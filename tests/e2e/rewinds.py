"""A session's past as a test knows it: the calls that rewinds have left, and random calls that check each other."""
from dataclasses import dataclass, field

from client import failed, past_of
from test_sessions import SAMPLINGS, go_on, length, observed

BACK = 256  # --rewind_tokens_max
REPLAYED = BACK + 512  # and --step_tokens_max: states are kept between steps
FINAL = SAMPLINGS["penalties"]


@dataclass
class Call:
    """Tokens that entered a session: a prompt and then drawn ones, or either."""

    begin: int                # position of the session before it
    prompt: list
    sampling: dict | None     # None: an Append
    drawn: int
    mark: str | None = None

    @property
    def end(self):
        return self.begin + len(self.prompt) + self.drawn


@dataclass
class Past:
    """The calls that a session has left, those that a rewind undid taken away and the last one cut."""

    calls: list = field(default_factory=list)
    marks: dict = field(default_factory=dict)  # position by name
    turns: list = field(default_factory=list)  # positions where the calls began

    @property
    def position(self):
        return self.calls[-1].end if self.calls else 0

    def add(self, call):
        self.calls.append(call)
        self.turns.append(call.begin)
        if call.mark:
            self.marks.pop(call.mark, None)
            self.marks[call.mark] = call.end

    def cut(self, position):
        kept = [c for c in self.calls if c.begin < position]
        if kept and kept[-1].end > position:
            last = kept.pop()
            prompt = last.prompt[:position - last.begin]
            kept.append(Call(last.begin, prompt, last.sampling, position - last.begin - len(prompt)))
        self.calls = kept
        self.marks = {m: p for m, p in self.marks.items() if p <= position}
        self.turns = [t for t in self.turns if t < position]

    def copy(self):
        return Past(list(self.calls), dict(self.marks), list(self.turns))

    def replay(self, client, name):
        """The surviving calls, on an empty session."""
        for call in self.calls:
            if call.sampling is None or call.drawn == 0:
                client.append(name, call.prompt)
            else:
                go_on(client, name, call.drawn, call.sampling, call.prompt or None)


class Rewinds:
    """Random calls on one session, and what is known of it."""

    LENGTHS = (1, 2, 63, 64, 65, 130, 255, 256, 257, 400)

    def __init__(self, client, rng, name):
        self.client, self.rng, self.name, self.past = client, rng, name, Past()
        self.vocabulary = client.model().architecture.vocab_size
        self.rewinds = self.replayed = 0

    def prompt(self):
        return [self.rng.randrange(self.vocabulary) for _ in range(self.rng.choice(self.LENGTHS))]

    def mark(self):
        return f"m{self.rng.randrange(4)}" if self.rng.random() < 0.3 else None

    def append(self):
        call = Call(self.past.position, self.prompt(), None, 0, self.mark())
        pieces, left = [], call.prompt
        while left:
            size = self.rng.randint(1, 200)
            pieces, left = pieces + [left[:size]], left[size:]
        assert self.client.append(self.name, *pieces, mark=call.mark).session_position == call.end
        self.past.add(call)

    def generate(self):
        prompt = self.prompt() if self.past.position == 0 or self.rng.random() < 0.4 else []
        sampling = {**self.rng.choice(list(SAMPLINGS.values())), "seed": self.rng.getrandbits(64)}
        call = Call(self.past.position, prompt, sampling, self.rng.randint(1, 40), self.mark())
        got = self.client.generate(prompt or None, sampling, length(call.drawn), session=self.name, mark=call.mark)
        assert got.summary.session_position == call.end
        self.past.add(call)

    def rewind(self):
        past, now = self.past, self.past.position
        session = self.client.get_session(self.name)
        ways = [("tokens", self.rng.randint(1, now - session.rewind_position_min))] * 2 \
            if now > session.rewind_position_min else []
        if past.marks:
            ways.append(("mark", self.rng.choice(sorted(past.marks))))
        if session.turns:
            ways.append(("turns", self.rng.randint(1, min(session.turns, 3))))
        if ways:
            self.go_back(*self.rng.choice(ways))

    def go_back(self, way, value):
        past, now = self.past, self.past.position
        position = {"tokens": lambda: now - value, "mark": lambda: past.marks[value],
                    "turns": lambda: past.turns[-value]}[way]()
        got = self.client.rewind(self.name, **{way: value})
        assert got.session.position == position and not got.session.busy
        assert got.replayed_tokens <= REPLAYED and (way == "tokens" or got.replayed_tokens == 0)
        past.cut(position)
        self.rewinds, self.replayed = self.rewinds + 1, self.replayed + got.replayed_tokens

    def step(self):
        self.rng.choice((self.append, self.generate, self.generate, self.rewind, self.rewind))()
        self.check()

    def check(self):
        """What GetSession tells is true."""
        client, told, now = self.client, self.client.get_session(self.name), self.past.position
        lowest, marks = told.rewind_position_min, [(m.mark, m.position) for m in told.marks]
        assert told.position == now and told.turns == len(self.past.turns) <= 64
        assert dict(marks) == self.past.marks and [p for _, p in marks] == sorted(p for _, p in marks)
        assert max(now - BACK, 0) <= lowest <= now
        if self.rewinds == 0:  # what a rewind undid cannot be gone back through
            assert lowest == max(now - BACK, 0)
        (probe,) = client.fork_session(self.name, "probe")
        assert (probe.rewind_position_min, probe.turns, probe.marks) == (lowest, told.turns, told.marks)
        check_nothing_below(client, self.past, probe)
        if lowest < now:
            assert client.rewind(probe.name, tokens=now - lowest).session.position == lowest
        client.delete_session(probe.name)


def out_of_range(call):
    got = failed(call)
    return (got.code, got.reason) == ("OUT_OF_RANGE", "REWIND_OUT_OF_RANGE")


def check_nothing_below(client, past, told):
    """The position below the lowest one that is told of a session is out of reach, unless a state is kept just there."""
    below = told.rewind_position_min - 1
    if below >= 0 and told.position - below <= BACK and below not in {*past.marks.values(), *past.turns}:
        assert out_of_range(lambda: client.rewind(told.name, tokens=told.position - below))


def ends_of(client, name):
    """The session's whole past, and what comes next of it."""
    return past_of(client.export_session(name)), observed(go_on(client, name, 16, FINAL))


def check_against_replay(client, past, name):
    """The bits of a session that only ever had the calls that are left."""
    with client.session() as other:
        past.replay(client, other)
        if past.position:
            assert ends_of(client, name) == ends_of(client, other), [(len(c.prompt), c.drawn) for c in past.calls]

"""Sessions that are easy to check. A line is what an uninterrupted run draws; a session that follows it is right at any
position where it goes on as the line does there, bit for bit, however often it was cut, moved, kept and brought back."""
import threading

from client import request
from server import until

PROMPT_TOKENS = 20


def sampling(number):
    return {"temperature": 1, "top_k": 0, "seed": 1000 + number}


def length(tokens):
    return {"max_tokens": tokens, "ignore_eos": True}


def drawn(messages):
    """[(id, log-probability)] of one choice."""
    return [(e.token_id, e.logprob) for m in messages for e in m.chunk.logprobs]


class Line:
    """The session `number` of an uninterrupted run, made as far as it is asked for. Any thread."""

    def __init__(self, client, number):
        self.number, self._client, self._lock = number, client, threading.Lock()
        self.prompt = [(number * 31 + i * 7) % 256 for i in range(PROMPT_TOKENS)]
        self._tokens = [(i, None) for i in self.prompt]
        self._session = None

    def tokens(self, begin, end):
        with self._lock:
            if self._session is None:
                self._session = self._client.create_session().name
            while len(self._tokens) < end:
                # In pieces that grow, so that a few tokens do not cost thousands.
                position = len(self._tokens) if len(self._tokens) > PROMPT_TOKENS else 0
                call = self.call(self._session, len(self._tokens) + 100, position)
                self._tokens += drawn(self._client.inference.Generate(call, timeout=120))
            return self._tokens[begin:end]

    def call(self, name, tokens, position):
        """The GenerateRequest that goes on from there; position 0: the session is empty."""
        prompt = self.prompt if position == 0 else None
        return request(prompt, sampling(self.number), length(tokens), session=name, logprobs=0)

    def check(self, messages, position):
        """The messages of a call that ended there draw what the line has there."""
        got = drawn(messages)
        assert got == self.tokens(position - len(got), position), (self.number, position, len(got))


class Lines:
    """line(number), each made once."""

    def __init__(self, client):
        self._client, self._lines, self._lock = client, {}, threading.Lock()

    def __call__(self, number):
        with self._lock:
            return self._lines.setdefault(number, Line(self._client, number))


def go_on(client, line, name, tokens, position):
    """The position after a call of this many tokens on a session that is at `position`; its bits are the line's."""
    messages = list(client.inference.Generate(line.call(name, tokens, position), timeout=60))
    end = max(position, PROMPT_TOKENS) + tokens
    assert messages[-1].summary.session_position == end, (name, position, tokens, messages[-1].summary)
    assert len(drawn(messages)) == tokens
    line.check(messages, end)
    return end


def at_rest(client, name):
    """The session once no call runs on it."""
    def idle():
        session = client.get_session(name)
        return None if session.busy else session
    return until(idle, what=f"the end of the call on {name}")


def all_of(method, kind, page_size=7):
    """Every session or snapshot of client.list_…, page by page."""
    found, token = [], None
    while token != "":
        page = method(page_size, token)
        found += getattr(page, kind)
        token = page.next_page_token
    assert len({x.name for x in found}) == len(found) == page.total_size
    return found



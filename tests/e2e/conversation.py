"""A Converse stream: what is sent, and the answers as plain values."""
import queue
from dataclasses import dataclass

from client import Generation
from stubs import inference

CANCELLED, INVALID, DEADLINE, NOT_FOUND, ABORTED = 1, 3, 4, 5, 10  # google.rpc.Code
GREEDY, SEEDED = {"temperature": 0}, {"temperature": 1, "top_k": 0, "seed": 11}
ENDLESS = {"max_tokens": 1 << 20, "ignore_eos": True}


def length(tokens):
    return {"max_tokens": tokens, "ignore_eos": True}


@dataclass
class Answer:
    kind: str              # "started", "appended", "generated" or "failed"
    message: object        # the message that ended the action
    generation: Generation  # the chunks and progress before it

    @property
    def ids(self):
        return self.generation.choices[0].ids if self.generation.choices else []

    @property
    def failure(self):
        """(google.rpc.Code, reason, field) of a failed one."""
        assert self.kind == "failed", self.message
        return self.message.code, self.message.reason, self.message.field


def append(what, **fields):
    message = inference.ConverseRequest()
    if isinstance(what, str):
        message.append.text = what
    else:
        message.append.tokens.ids.extend(what)
    message.append.MergeFrom(inference.ConverseAppend(**fields))
    return message


def generate(sampling=None, stop=None, **fields):
    return inference.ConverseRequest(generate=inference.ConverseGenerate(sampling=sampling, stop=stop, **fields))


def interrupt():
    return inference.ConverseRequest(interrupt=inference.ConverseInterrupt())


def start(session, **fields):
    return inference.ConverseRequest(start=inference.ConverseStart(session=session, **fields))


class Conversation:
    """Started when made, unless `name` is None; with bytes as messages where `raw`. Leaving the `with` block closes the
    sending side, which must end the stream well."""

    def __init__(self, client, name=None, timeout=120, raw=False, **fields):
        self._sent = queue.SimpleQueue()
        converse = client.channel.stream_stream("/barista.v1.InferenceService/Converse") if raw else \
            client.inference.Converse
        self._raw = raw
        self.stream = converse(iter(self._sent.get, None), timeout=timeout)
        self.started = None
        if name is not None:
            first = start(name, **fields)
            self.send(first.SerializeToString() if raw else first)
            self.started = self.answer()
            assert self.started.kind == "started"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.stream.cancel()
        self.close()
        if kind is None:
            assert not list(self.stream)

    def send(self, *messages):
        for message in messages:
            self._sent.put(message)

    def unsent(self):
        """Messages that gRPC has not taken yet."""
        return self._sent.qsize()

    def close(self):
        self._sent.put(None)

    def read(self):
        message = next(self.stream)
        return inference.ConverseResponse.FromString(message) if self._raw else message

    def answer(self, generation=None):
        """The next action's, read to its end. `generation`: what was read of it before."""
        generation = generation or Generation()
        while True:
            message = self.read()
            kind = message.WhichOneof("event")
            if kind not in ("chunk", "progress"):
                return Answer(kind, getattr(message, kind), generation)
            generation.add(message)

    def ask(self, message):
        self.send(message)
        return self.answer()

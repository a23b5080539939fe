"""A caller in a thread of its own that notes what the server acknowledged, until the server is gone."""
import threading

import grpc

from client import Client
from lines import PROMPT_TOKENS, go_on


class Worker(threading.Thread):
    """Calls step() again and again until the server is not available. `may` tells, by name, where each thing may be
    found afterwards: at the position that was acknowledged last, or where a call without an answer would bring it;
    None: nowhere."""

    def __init__(self, address, number, lines, rng):
        super().__init__()
        self.number, self.may, self.lines, self.rng = number, {}, lines, rng
        self.acknowledged, self.failure, self._address = 0, None, address

    def run(self):
        try:
            with Client(self._address) as self.client:
                while True:
                    self.step()
        except grpc.RpcError as error:
            # gRPC itself cancels what arrives while it shuts down.
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                self.failure = error
        except Exception as error:  # reported by the test's thread
            self.failure = error

    def kept(self):
        """What is kept, and where it is; what has no acknowledged place is left out."""
        return {name: max(at) for name, at in self.may.items() if None not in at}

    def call(self, name, position, make):
        """make(), which leaves `name` at `position` once it is acknowledged; None: deletes it."""
        self.may[name] = self.may.get(name, {None}) | {position}
        result = make()
        self.may[name] = {position}
        self.acknowledged += 1
        return result

    def go_on(self, name, position):
        """A call of a few tokens; without an answer, any of them may have been drawn."""
        tokens = self.rng.randint(1, 5)
        begin = max(position, PROMPT_TOKENS)
        self.may[name] = {position, *range(begin, begin + tokens + 1)}
        self.may[name] = {go_on(self.client, self.lines(self.number), name, tokens, position)}
        self.acknowledged += 1

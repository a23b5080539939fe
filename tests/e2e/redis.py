"""A real redis-server as a child process, which keeps all that it acknowledged: it can be killed, stopped and started."""
import os
import shutil
import signal
import socket
import subprocess

from server import until
from stubs import ROOT

PROGRAM = shutil.which("redis-server", path=f"{ROOT}/build/tools/bin:{os.environ.get('PATH', '')}")


class Redis:
    def __init__(self, directory):
        assert PROGRAM, "redis-server is neither in build/tools/bin nor on PATH; bash deploy/bootstrap.sh --test gets it"
        self._directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self._process = subprocess.Popen(
            [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", "",
             "--appendonly", "yes", "--appendfsync", "always", "--logfile", "log"], stdout=subprocess.DEVNULL)
        until(self._answers, what="Redis")

    def _answers(self):
        try:
            return self.call("PING") == b"PONG"
        except (OSError, AssertionError):
            return False

    def kill(self):
        self._process.kill()
        self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def keys(self):
        return sorted(key.decode() for key in self.call("KEYS *"))

    def call(self, command):
        """The answer to one line: bytes, a number, or a list of them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(command.encode() + b"\r\n")
            with connection.makefile("rb") as lines:
                return self._read(lines)

    def _read(self, lines):
        line = lines.readline()[:-2]
        kind, text = line[:1], line[1:]
        if kind == b"*":
            return [self._read(lines) for _ in range(int(text))]
        if kind == b"$":
            return lines.read(int(text) + 2)[:-2]
        assert kind in (b"+", b":"), line
        return int(text) if kind == b":" else text

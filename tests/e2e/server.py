"""A real barista-server as a child process: on free ports, stopped and checked at the end."""
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

from stubs import ROOT

BIN = ROOT / os.environ.get("BARISTA_BIN", "build/cpu/bin")
SERVER = str(BIN / "barista-server")
CLI = str(BIN / "barista")
BACKEND = os.environ.get("BARISTA_BACKEND", "cpu")  # of servers that a test wants on the cpu backend
READY = re.compile(r"ready grpc=(\S+) metrics=(\S*) model=(\S+) backend=(\S+) weights=(\S+) sessions_max=(\d+) "
                   r"bytes_per_session=(\d+)\n")


def until(condition, seconds=30, what="the condition"):
    """The first true value of condition(), asked again and again."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true in {seconds} s"
        time.sleep(0.005)


class Server:
    """Running when made. Leaving the `with` block stops it with SIGTERM, which must end it with exit code 0."""

    def __init__(self, model, *flags, listen="127.0.0.1:0", metrics="127.0.0.1:0", seconds=60):
        flags = [f"--backend={BACKEND}" if flag == "--backend=cpu" else flag for flag in flags]
        self._log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [SERVER, f"--model={model}", f"--listen={listen}", f"--metrics_listen={metrics}", *flags],
            stdout=subprocess.PIPE, stderr=self._log, text=True)
        guard = threading.Timer(seconds, self.process.kill)  # a server that hangs must not hang the tests
        guard.start()
        line = self.process.stdout.readline()
        guard.cancel()
        ready = READY.fullmatch(line)
        if ready is None:
            self.process.kill()
            raise AssertionError(f"no ready line but {line!r}, exit code {self.process.wait()}: {self.log()}")
        self.address, self.metrics_address, self.model_name, self.backend, self.weights = ready.group(*range(1, 6))
        self.sessions_max, self.bytes_per_session = int(ready[6]), int(ready[7])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code = self.stop() if self.process.poll() is None else 0
        assert kind is not None or code == 0, f"exit code {code} after SIGTERM: {self.log()}"

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def stop(self, seconds=30):
        """Exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=30):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running {seconds} s after the signal: {self.log()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def metrics(self):
        """{'name{label="value"}': number} of what Prometheus would read now."""
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {key: float(value) for key, value in (s.rsplit(" ", 1) for s in lines if s and s[0] != "#")}

    def settled(self, seconds=30, sessions=0):
        """The metrics once nothing waits or runs, this many sessions hold a slot, and nothing has been counted for a
        tenth of a second: a call's outcome is counted when its caller has been told, which is after its slot is free."""
        last, since = {}, 0

        def at_rest():
            nonlocal last, since
            m = {key: value for key, value in self.metrics().items() if key.startswith("barista_")}
            now = time.monotonic()
            if m != last:
                last, since = m, now
            if now - since < 0.1:
                return None
            busy = (m["barista_num_requests_running"], m["barista_num_requests_waiting"],
                    m['barista_sessions{tier="device"}'])
            return m if busy == (0, 0, sessions) else None
        return until(at_rest, seconds, "a server without calls, with these sessions")


def state_files(directory):
    """What lies in a directory under --state_dir, but for the server's lock."""
    return sorted(p for p in directory.iterdir() if p.name != "lock")


def run(program, *args, seconds=20, **options):
    """(exit code, stdout, stderr) of a program that must end by itself in good time."""
    done = subprocess.run([program, *args], capture_output=True, timeout=seconds, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()

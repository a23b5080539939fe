"""A program at a terminal: keys go in, and what has been shown can be waited for."""
import os
import pty
import re
import select
import signal
import subprocess
import time

UP, LEFT, HOME, END, DELETE, ENTER, TAB = "\x1b[A", "\x1b[D", "\x01", "\x05", "\x1b[3~", "\r", "\t"
CTRL_C, CTRL_D, CTRL_R, CTRL_Z = "\x03", "\x04", "\x12", "\x1a"


class Terminal:
    """Running when made, with a terminal of its own as stdin, stdout and stderr; killed at the end of the `with`."""

    def __init__(self, *words, **environment):
        self._master, slave = pty.openpty()
        # A new session's first process owns the terminal that it opens; the keys' signals then go to it.
        self.process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
                                        env={**os.environ, "TERM": "xterm", "LC_ALL": "", "LANG": "", **environment})
        os.close(slave)
        self._unseen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._master)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def press(self, *keys):
        os.write(self._master, "".join(keys).encode())

    def see(self, text, seconds=10):
        """Waits for `text`, without what moves the cursor and sets colors, and passes it: the next call looks behind
        it. Returns what was skipped on the way."""
        end = time.monotonic() + seconds
        while True:
            plain = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]", b"", self._unseen)
            at = plain.find(text.encode())
            if at >= 0:
                self._unseen = plain[at + len(text.encode()):]
                return plain[:at].decode(errors="replace")
            left = end - time.monotonic()
            assert left > 0, f"not shown in {seconds} s: {text!r}; shown: {plain!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    self._unseen += os.read(self._master, 65536)
                except OSError:  # how Linux tells that nobody has the terminal open any more
                    raise AssertionError(f"ended before it showed {text!r}: {plain!r}") from None

    def end(self, seconds=20):
        """Exit code of a program that ends now."""
        return self.process.wait(seconds)

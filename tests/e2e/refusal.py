"""A barista-server that must not start: it ends by itself, with one line that names the thing, and an exit code."""
from conftest import GOLDEN
from server import SERVER, run

SMALL = GOLDEN / "extra/smallest-sizes"
USAGE, PORT_TAKEN, CONFIG = 64, 69, 78  # sysexits.h


def refused(code, *words, model=SMALL, flags=()):
    args = [f"--model={model}"] if model else []
    got, out, err = run(SERVER, *args, "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--backend=cpu", *flags)
    assert got == code, (got, err)
    assert "ready" not in out
    messages = [line for line in err.splitlines() if not line.startswith("{")]  # log lines are JSON
    assert len(messages) == 1 and messages[0].startswith("barista-server: "), err
    missing = [word for word in words if word not in err]
    assert not missing, f"{missing} not in: {err}"

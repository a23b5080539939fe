#!/usr/bin/env python3
"""Draws a dashboard of deploy/grafana as Grafana would, from a real server under load and a real Prometheus.

    python3 tests/prometheus/render_dashboard.py [NAME] [OUT.png] [--seconds=60]

NAME: overview, sessions or model. Needs requirements.txt of this folder."""
import json
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "e2e")]

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from client import Client, failed  # noqa: E402
from prometheus import Prometheus  # noqa: E402
from series import DASHBOARDS  # noqa: E402
from server import Server  # noqa: E402
from stubs import ROOT  # noqa: E402

COLUMNS = 3


def load(server, seconds):
    """Callers who come and go, sessions that are made, forked, rewound and put away."""
    end = time.monotonic() + seconds

    def work(seed):
        rng = random.Random(seed)
        with Client(server.address) as client:
            while time.monotonic() < end:
                prompt = [rng.randrange(10, 3000) for _ in range(rng.randrange(1, 400))]
                client.generate(prompt, {"seed": seed}, {"max_tokens": rng.randrange(5, 60)}, speculation_tokens=seed % 3)
                if rng.random() < 0.3:
                    name = client.create_session().name
                    client.generate(prompt[:50], {"seed": 1}, {"max_tokens": 20}, session=name)
                    client.rewind(name, tokens=10)
                    for fork in client.fork_session(name, f"f{rng.randrange(1 << 30)}"):
                        client.snapshot(fork.name)
                if rng.random() < 0.2:
                    failed(lambda: client.generate(prompt, {"top_p": 7.0}))
                time.sleep(rng.random() * 0.2)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def draw(axes, panel, prometheus, begin, end):
    lines = 0
    for target in panel["targets"]:
        expr = target["expr"].replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*")
        expr = expr.replace("[1h]", "[1m]")
        for labels, points in prometheus.range(expr, begin, end, 1):
            legend = re.sub(r"\{\{(\w+)\}\}", lambda m: labels.get(m[1], ""), target["legendFormat"])
            axes.plot([t - begin for t, _ in points], [v for _, v in points], label=legend, linewidth=1.2)
            lines += 1
    axes.set_title(f"{panel['title']}  [{panel['fieldConfig']['defaults']['unit']}]", fontsize=8, loc="left")
    axes.tick_params(labelsize=6)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize=5, loc="upper left", ncols=2, frameon=False)
    else:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes, fontsize=7, color="gray")


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("--")]
    name = words[0] if words else "overview"
    out = words[1] if len(words) > 1 else str(DASHBOARDS / f"{name}.png")
    seconds = next((float(a.split("=")[1]) for a in sys.argv if a.startswith("--seconds=")), 60)
    board = json.loads((DASHBOARDS / f"{name}.json").read_text())
    rows = -(-len(board["panels"]) // COLUMNS)
    with (tempfile.TemporaryDirectory() as states, Server(ROOT / "deploy/demo-model", "--backend=cpu", "--sessions_max=16", "--host_state_bytes=64000000",
                 f"--state_dir={states}", "--drift_sample_seconds=2", "--latent_sample_steps=4") as server,
          Prometheus(server.metrics_address) as prometheus):
        begin = time.time()
        load(server, seconds)
        figure, grid = plt.subplots(rows, COLUMNS, figsize=(12, 2.1 * rows), squeeze=False, layout="constrained")
        for axes in grid.flat[len(board["panels"]):]:
            axes.axis("off")
        for axes, panel in zip(grid.flat, board["panels"]):
            draw(axes, panel, prometheus, begin + 5, time.time())
        figure.suptitle(board["title"], fontsize=10)
        figure.savefig(out, dpi=80)


if __name__ == "__main__":
    main()

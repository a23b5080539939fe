"""A real Prometheus as a child process, that scrapes one server every quarter of a second and loads our rules."""
import json
import pathlib
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request

from server import until
from stubs import ROOT

TOOLS = ROOT / "build/tools/bin"
PROMTOOL = str(TOOLS / "promtool")
RULES = ROOT / "deploy/prometheus/rules.yml"
JOB = "barista"

CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: {job}
    static_configs: [{{targets: ["{target}"]}}]
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Prometheus:
    def __init__(self, target):
        self._directory = tempfile.TemporaryDirectory()
        home = pathlib.Path(self._directory.name)
        (home / "prometheus.yml").write_text(CONFIG.format(rules=RULES, job=JOB, target=target))
        self.address = f"127.0.0.1:{free_port()}"
        self._log = open(home / "log", "w+")
        self.process = subprocess.Popen(
            [str(TOOLS / "prometheus"), f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}",
             f"--web.listen-address={self.address}", "--log.level=warn"], stdout=self._log, stderr=self._log)
        until(self._ready, 60, "Prometheus' start")

    def _ready(self):
        assert self.process.poll() is None, pathlib.Path(self._log.name).read_text()
        try:
            return urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self._log.close()
        self._directory.cleanup()

    def _get(self, path, **arguments):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            got = json.load(answer)
        assert got["status"] == "success", got
        return got["data"]

    def query(self, expression):
        """[(labels, value)] now."""
        return [(r["metric"], float(r["value"][1])) for r in self._get("query", query=expression)["result"]]

    def value(self, expression):
        """The one value of an expression; 0 where there is none yet."""
        values = [value for _, value in self.query(expression)]
        assert len(values) <= 1, values
        return values[0] if values else 0

    def range(self, expression, start, end, step):
        """[(labels, [(time, value)])]."""
        result = self._get("query_range", query=expression, start=start, end=end, step=step)["result"]
        return [(r["metric"], [(t, float(v)) for t, v in r["values"]]) for r in result]

    def targets(self):
        return self._get("targets", state="active")["activeTargets"]

    def rules(self):
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

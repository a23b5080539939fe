"""Panels, rules and the table of README.md against the server: no name that is not there, none that nobody looks at."""
import importlib.util
import re

import pytest

from series import BEGIN, DASHBOARDS, END, NAME, TABLE, expressions, families, family_of, table
from stubs import ROOT


@pytest.fixture(scope="module")
def exposed(server):
    return families(server)


def test_panels_and_rules_name_only_what_the_server_exposes(exposed):
    types = {name: kind for name, (kind, _, _) in exposed.items()}
    missing = {(where, name) for where, text in expressions() for name in NAME.findall(text)
               if not text.strip().startswith(("job:", "- alert")) and family_of(name, types) is None
               and f"job:{name}" not in text}
    assert missing == set()


def test_every_series_is_in_a_panel_or_a_rule(exposed):
    types = {name: kind for name, (kind, _, _) in exposed.items()}
    shown = {family_of(name, types) for _, text in expressions() for name in NAME.findall(text)}
    assert set(exposed) - shown == set()


def test_labels_of_panels_and_rules_are_the_servers(exposed):
    closed = {value for _, _, labels in exposed.values() for values in labels.values() for value in values}
    for where, text in expressions():
        for label, value in re.findall(r'\b(status|reason|tier|outcome|use|store)[!=]=?~?"([^"]+)"', text):
            assert set(value.split("|")) <= closed, (where, label, value)


def test_the_dashboards_are_what_build_py_writes():
    spec = importlib.util.spec_from_file_location("build_dashboards", DASHBOARDS / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert sorted(p.stem for p in DASHBOARDS.glob("*.json")) == sorted(build.DASHBOARDS)
    for name in build.DASHBOARDS:
        assert (DASHBOARDS / f"{name}.json").read_text() == build.text(name), f"run {DASHBOARDS / 'build.py'}"


def test_every_panel_answers(prometheus, server):
    """By the real Prometheus; that there is something to see is the business of render_dashboard.py."""
    for where, text in expressions():
        if ".json" in where and not text.startswith("label_values"):
            concrete = text.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")
            prometheus.query(concrete)


def test_the_table_of_series_is_the_servers(server):
    text = TABLE.read_text()
    written = text[text.index(BEGIN) + len(BEGIN):text.index(END)]
    assert written == table(server), (
        f"in {TABLE.relative_to(ROOT)}, between {BEGIN.strip()} and {END.strip()}:\n{table(server)}")

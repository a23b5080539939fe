"""The rules by Prometheus' own checker; every alert has cases in which it fires and does not, and a runbook."""
import re
import subprocess

import pytest

from prometheus import PROMTOOL, RULES
from stubs import ROOT

CASES = ROOT / "tests/prometheus/rules_test.yml"
README = (RULES.parent / "README.md").read_text()


def promtool(*arguments):
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, cwd=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts():
    return re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)


def test_the_rules_are_sound():
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


def test_the_cases_hold():
    promtool("test", "rules", str(CASES))


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_has_cases_in_which_it_fires_and_in_which_it_does_not(alert):
    cases = re.findall(rf"alertname: {alert}\n +exp_alerts:(.*)\n", CASES.read_text())
    assert " []" in cases and "" in cases


def test_an_alert_names_a_heading_of_the_runbook():
    runbooks = re.findall(r"^ +runbook: (\w+)$", RULES.read_text(), re.MULTILINE)
    headings = re.findall(r"^### (\w+)$", README, re.MULTILINE)
    assert len(runbooks) == len(alerts()) and set(runbooks) == set(headings)

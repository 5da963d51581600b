"""Alarms are rules that Prometheus takes; they fire when they should, and say what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_runtime import Programs

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"


def run(prometheus: Programs, *arguments: str) -> None:
    said = subprocess.run(
        [prometheus.promtool, *arguments],
        cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_prometheus_takes_its_configuration_with_the_rules(prometheus: Programs) -> None:
    run(prometheus, "check", "config", "prometheus.yml")
    run(prometheus, "check", "rules", "--lint-fatal", "alerts.yml")


def test_each_fires_when_it_should_and_is_silent_when_it_should_not(prometheus: Programs) -> None:
    run(prometheus, "test", "rules", "alerts_test.yml")


def rules() -> list[str]:
    """The text of each rule."""
    return (FOLDER / "alerts.yml").read_text().split("- alert: ")[1:]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.split()[0])
def test_each_is_tested_and_leads_to_a_section_that_says_what_to_do(rule: str) -> None:
    name = rule.split()[0]
    assert "summary: " in rule
    assert "description: " in rule
    assert re.search(r"severity: (critical|warning), service: jobstreams", rule)

    tests = (FOLDER / "alerts_test.yml").read_text()
    assert f"alertname: {name}\n" in tests, "no test in which it fires"

    [page, anchor] = re.findall(r"runbook: (\S+)#(\S+)", rule)[0]
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.M)
    assert anchor == name.lower()
    assert name in headings

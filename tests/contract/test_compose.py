"""docker-compose.yml is what Docker Compose takes; nothing of it is open to others."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """docker-compose.yml, as Docker Compose understands it."""
    import compose

    said = subprocess.run(
        [Path(compose.__file__).with_name("docker-compose"),
         "--file", ROOT / "docker-compose.yml", "config", "--format", "json"],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_what_is_published_is_for_this_machine_alone(composed: dict[str, Any]) -> None:
    published = {
        (name, port["host_ip"])
        for name, service in composed["services"].items()
        for port in service.get("ports", ())
    }
    assert {name for name, _ in published} >= {"broker", "worker", "prometheus", "grafana"}
    assert {host for _, host in published} == {"127.0.0.1"}


def test_what_is_mounted_is_there(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for volume in service.get("volumes", ()):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), (name, volume)
                assert volume["read_only"], (name, volume)
            else:
                assert volume["source"] in composed["volumes"], (name, volume)


def test_images_are_of_one_version(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), (name, service["image"])


def test_grafana_finds_prometheus_and_the_dashboards(composed: dict[str, Any]) -> None:
    mounts = {
        volume["target"]: Path(volume["source"])
        for volume in composed["services"]["grafana"]["volumes"]
    }
    provisioning = mounts["/etc/grafana/provisioning"]
    source = (provisioning / "datasources" / "prometheus.yml").read_text()
    provider = (provisioning / "dashboards" / "jobstreams.yml").read_text()

    assert "url: http://prometheus:9090\n" in source
    path = re.findall(r"path: (\S+)", provider)[0]
    assert sorted(p.name for p in mounts[path].iterdir()) == [
        "overview.json",
        "queue.json",
        "worker.json",
    ]
    environment = composed["services"]["grafana"]["environment"]
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounts[str(home.parent)] / home.name).exists()


def test_who_looks_at_grafana_changes_nothing_and_nobody_logs_in(
    composed: dict[str, Any],
) -> None:
    environment = composed["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"


def test_prometheus_has_its_rules_where_its_configuration_says(composed: dict[str, Any]) -> None:
    [mount] = composed["services"]["prometheus"]["volumes"]
    folder = Path(mount["source"])
    assert mount["target"] == "/etc/prometheus"
    assert "rule_files: [alerts.yml]\n" in (folder / "prometheus.yml").read_text()
    assert (folder / "alerts.yml").exists()

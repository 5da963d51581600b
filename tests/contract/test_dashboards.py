"""The dashboards in deploy/ are those that the builder makes, and Grafana can draw them."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from streams.dev.graphs.__main__ import main
from streams.dev.graphs.catalog import DASHBOARDS
from streams.dev.graphs.dashboard import WIDTH
from streams.jobs.states import State

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"


def test_the_files_are_what_the_builder_writes(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0

    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(DASHBOARDS)
    for name in DASHBOARDS:
        same = (FOLDER / name).read_text() == (tmp_path / name).read_text()
        assert same, f"{name} is not what the builder writes: make graphs"


def test_the_builder_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: python -m streams.dev.graphs FOLDER" in capsys.readouterr().err


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_are_told_apart_and_do_not_overlap(name: str) -> None:
    panels = read(name)["panels"]

    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)
    assert all(place["x"] + place["w"] <= WIDTH for place in (p["gridPos"] for p in panels))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_row_is_filled_to_its_end(name: str) -> None:
    ends: dict[int, int] = {}
    for place in (panel["gridPos"] for panel in read(name)["panels"]):
        ends[place["y"]] = ends.get(place["y"], 0) + place["w"]
    assert set(ends.values()) == {WIDTH}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_panel_says_what_it_shows_and_each_query_is_named(name: str) -> None:
    for panel in read(name)["panels"]:
        if panel["type"] == "row":
            continue
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters and len(set(letters)) == len(letters)
        if panel["type"] == "timeseries":
            assert all(t["legendFormat"] != "__auto" for t in panel["targets"]), panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_queries_use_no_variable_that_there_is_not(name: str) -> None:
    dashboard = read(name)
    there = {variable["name"] for variable in dashboard["templating"]["list"]}
    there |= {"__rate_interval", "__range"}
    queries = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", ())]
    queries += [v["definition"] for v in dashboard["templating"]["list"] if "definition" in v]

    assert set(re.findall(r"\$(\w+)", " ".join(queries))) <= there


def test_links_lead_to_a_dashboard() -> None:
    uids = {dashboard.uid for dashboard in DASHBOARDS.values()}
    texts = " ".join((FOLDER / name).read_text() for name in DASHBOARDS)
    linked = set(re.findall(r"/d/([\w-]+)", texts))
    assert linked and linked <= uids


def test_a_state_has_its_colour_wherever_it_is_shown() -> None:
    for name in DASHBOARDS:
        for panel in read(name)["panels"]:
            legends = {target["legendFormat"] for target in panel.get("targets", ())}
            if panel["type"] == "timeseries" and legends & {"{{outcome}}", "{{state}}"}:
                coloured = {
                    each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]
                }
                assert {state.value for state in State} <= coloured, panel["title"]

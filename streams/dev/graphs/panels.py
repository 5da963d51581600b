"""Panels as values, and as the JSON that Grafana reads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from streams.dev.graphs.colours import COLOURS, overrides

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

JOBS_PER_SECOND: Final = "suffix: jobs/s"
PER_SECOND: Final = "suffix:/s"
SECONDS: Final = "s"
SHARE: Final = "percentunit"
NUMBER: Final = "short"
BYTES: Final = "bytes"
SINCE: Final = "dateTimeFromNow"

WIDE: Final = 12  # so wide a panel has room for the figures of its series

Step = tuple[float | None, str]
"""From which value on, and in which colour; None: from the lowest."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and how its series are named."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel; its width is of 24."""

    title: str
    about: str  # what it shows, and what to make of it
    queries: Sequence[Query]
    unit: str = NUMBER
    width: int = 8
    height: int = 8

    def json(self, id: int, place: dict[str, int]) -> dict[str, Any]:
        """The whole panel."""
        return {
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": SOURCE,
            "gridPos": place,
            "targets": [
                {
                    "refId": letter,
                    "datasource": SOURCE,
                    "editorMode": "code",
                    "expr": query.expr,
                    "legendFormat": query.legend or "__auto",
                    **self.of_target,
                }
                for letter, query in zip(ascii_uppercase, self.queries, strict=False)
            ],
            "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
            "options": self.options,
            **self.more,
        }

    @property
    def kind(self) -> str:
        """Grafana's name for this type of panel."""
        raise NotImplementedError

    @property
    def of_target(self) -> dict[str, Any]:
        """Whether its queries ask for a range or for now."""
        return {"range": True, "instant": False}

    @property
    def defaults(self) -> dict[str, Any]:
        """What holds for all its series."""
        return {"unit": self.unit, "min": 0}

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """What holds for some of them: colours of what has one."""
        legends = {query.legend for query in self.queries}
        if legends & {"{{outcome}}", "{{state}}"}:
            return overrides(list(COLOURS))
        return overrides([name for name in COLOURS if name in legends])

    @property
    def options(self) -> dict[str, Any]:
        """How it is drawn."""
        return {}

    @property
    def more(self) -> dict[str, Any]:
        """What this type has beside all that."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines(Panel):
    """Lines over time, or areas upon each other."""

    stacked: bool = False
    log: bool = False
    to_queue: bool = False  # whether a series leads to the dashboard of its queue
    most: float | None = None
    limits: Sequence[Step] = ()  # lines at these values

    @property
    def kind(self) -> str:
        return "timeseries"

    @property
    def defaults(self) -> dict[str, Any]:
        custom: dict[str, Any] = {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1 if self.stacked else 2,
            "fillOpacity": 35 if self.stacked else 8,
            "gradientMode": "none" if self.stacked else "opacity",
            "showPoints": "never",
            "spanNulls": False,
            "axisSoftMin": 0,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "scaleDistribution": {"type": "log", "log": 10} if self.log else {"type": "linear"},
            "thresholdsStyle": {"mode": "dashed" if self.limits else "off"},
        }
        found: dict[str, Any] = {
            "unit": self.unit,
            "color": {"mode": "palette-classic"},
            "custom": custom,
        }
        if not self.log:  # which has no 0
            found["min"] = 0
        if self.most is not None:
            found["max"] = self.most
        if self.limits:
            found["thresholds"] = _steps(((None, "transparent"), *self.limits))
        if self.to_queue:
            found["links"] = [
                {
                    "title": "Queue ${__field.labels.queue}",
                    "url": "/d/jobstreams-queue?var-queue=${__field.labels.queue}"
                    "&${__url_time_range}",
                }
            ]
        return found

    @property
    def options(self) -> dict[str, Any]:
        return {
            "legend": {
                "showLegend": True,
                # A table of a few queues would take half of a narrow panel.
                "displayMode": "table" if self.width >= WIDE else "list",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"] if self.width >= WIDE else [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """One number, its colour by how it is to be taken, and its course in the background."""

    steps: Sequence[Step] = ((None, "blue"),)
    words: Sequence[tuple[int, str, str]] = ()  # a value, the word for it, its colour
    text: bool = False  # the name of the series is told, not its value
    width: int = 3
    height: int = 4

    @property
    def kind(self) -> str:
        return "stat"

    @property
    def defaults(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "unit": self.unit,
            "color": {"mode": "thresholds"},
            "thresholds": _steps(self.steps),
        }
        if self.words:
            options = {str(v): {"text": word, "color": colour} for v, word, colour in self.words}
            found["mappings"] = [{"type": "value", "options": options}]
        return found

    @property
    def overrides(self) -> list[dict[str, Any]]:
        return []

    @property
    def options(self) -> dict[str, Any]:
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none" if self.text or self.words else "area",
            "justifyMode": "center",
            "textMode": "name" if self.text else "value",
            "wideLayout": True,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """Rows of now: one for each combination of labels, with the value of each query."""

    labels: Sequence[str]
    columns: Sequence[str]  # the name of each query's value
    sort_by: str
    rising: bool = False

    @property
    def kind(self) -> str:
        return "table"

    @property
    def of_target(self) -> dict[str, Any]:
        return {"range": False, "instant": True, "format": "table"}

    @property
    def defaults(self) -> dict[str, Any]:
        # `increase` reckons with parts of what it counts.
        return {"unit": self.unit, **({"decimals": 0} if self.unit == NUMBER else {})}

    @property
    def overrides(self) -> list[dict[str, Any]]:
        return []

    @property
    def options(self) -> dict[str, Any]:
        return {
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": [{"displayName": self.sort_by, "desc": not self.rising}],
        }

    @property
    def more(self) -> dict[str, Any]:
        alone = len(self.queries) == 1
        letters = ascii_uppercase[: len(self.queries)]
        values = ["Value"] if alone else [f"Value #{letter}" for letter in letters]
        return {
            "transformations": [
                {"id": "merge", "options": {}},
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": {"Time": True},
                        "indexByName": {
                            name: at for at, name in enumerate((*self.labels, *values))
                        },
                        "renameByName": dict(zip(values, self.columns, strict=True)),
                    },
                },
            ]
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat(Panel):
    """How a histogram is distributed, over time; its query is by `le`."""

    width: int = 12

    @property
    def kind(self) -> str:
        return "heatmap"

    @property
    def of_target(self) -> dict[str, Any]:
        return {"range": True, "instant": False, "format": "heatmap"}

    @property
    def defaults(self) -> dict[str, Any]:
        return {"custom": {"scaleDistribution": {"type": "linear"}}}

    @property
    def overrides(self) -> list[dict[str, Any]]:
        return []

    @property
    def options(self) -> dict[str, Any]:
        return {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme",
                "scheme": "Spectral",
                "steps": 64,
                "reverse": True,
                "exponent": 0.5,
                "fill": "dark-orange",
            },
            "filterValues": {"le": 1e-9},
            "rowsFrame": {"layout": "auto"},
            "yAxis": {"unit": self.unit, "axisPlacement": "left", "reverse": False},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
        }


def _steps(steps: Sequence[Step]) -> dict[str, Any]:
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in steps],
    }

"""A dashboard as a value, and as the JSON that Grafana reads: rows of panels, variables. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.dev.graphs.panels import SOURCE, Panel

WIDTH: Final = 24
SCHEMA: Final = 41  # of Grafana 12; what is newer reads it as well
TAG: Final = "jobstreams"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What a reader chooses: a value of a label."""

    name: str
    label: str
    query: str
    many: bool = False  # several, or all
    hidden: bool = False

    def json(self) -> dict[str, Any]:
        """As Grafana has it."""
        everything = {"text": "All", "value": "$__all"}
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": SOURCE,
            "query": {"qryType": 1, "query": self.query, "refId": "Variable"},
            "definition": self.query,
            "refresh": 2,  # whenever the time range changes
            "sort": 1,
            "regex": "",
            "hide": 2 if self.hidden else 0,
            "multi": self.many,
            "includeAll": self.many,
            # A label that no series has is chosen by all its values, too.
            **({"allValue": ".*", "current": everything} if self.many else {}),
            "options": [],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title, from left to right, and then below."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """All of one."""

    uid: str
    title: str
    about: str
    variables: Sequence[Variable]
    rows: Sequence[Row]

    @property
    def panels(self) -> Iterator[Panel]:
        """Its panels, in order."""
        for row in self.rows:
            yield from row.panels

    def json(self) -> dict[str, Any]:
        """As Grafana has it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,  # one crosshair for all panels
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "timepicker": {},
            "annotations": {"list": [_ALERTS]},
            "links": [_LINKS],
            "templating": {"list": [_DATASOURCE, *(each.json() for each in self.variables)]},
            "panels": list(self._placed()),
        }

    def text(self) -> str:
        """The file."""
        return json.dumps(self.json(), indent=2, ensure_ascii=False) + "\n"

    def _placed(self) -> Iterator[dict[str, Any]]:
        id = top = 0
        for row in self.rows:
            id += 1
            yield _row(row.title, id, top)
            top += 1
            left = height = 0
            for panel in row.panels:
                if left + panel.width > WIDTH:
                    left, top, height = 0, top + height, 0
                id += 1
                place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
                yield panel.json(id, place)
                left += panel.width
                height = max(height, panel.height)
            top += height


def _row(title: str, id: int, top: int) -> dict[str, Any]:
    return {
        "id": id,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
        "panels": [],
    }


_DATASOURCE: Final = {
    "type": "datasource",
    "name": "datasource",
    "label": "Prometheus",
    "query": "prometheus",
    "hide": 0,
    "includeAll": False,
    "multi": False,
    "options": [],
    "refresh": 1,
    "regex": "",
}

_LINKS: Final = {
    "type": "dashboards",
    "title": "jobstreams",
    "icon": "external link",
    "tooltip": "",
    "url": "",
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
}

_ALERTS: Final = {
    "name": "Alerts",
    "datasource": SOURCE,
    "enable": True,
    "hide": False,
    "iconColor": "red",
    "expr": 'ALERTS{alertstate="firing",service="jobstreams"}',
    "step": "60s",
    "titleFormat": "{{alertname}}",
    "textFormat": "{{queue}} {{schedule}} {{instance}}",
}

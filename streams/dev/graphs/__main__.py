"""`python -m streams.dev.graphs FOLDER` writes the dashboards there."""

from __future__ import annotations

import sys
from pathlib import Path

from streams.dev.graphs.catalog import DASHBOARDS


def main(arguments: list[str]) -> int:
    """Write all of them; exit code."""
    if len(arguments) != 1:
        print("usage: python -m streams.dev.graphs FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, dashboard in DASHBOARDS.items():
        (folder / name).write_text(dashboard.text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

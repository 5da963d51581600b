"""`streams bench`: what the engine can do on this machine."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import typer

from streams.cli import exits
from streams.cli.output import JSON, fail, print_table
from streams.dev.bench.names import NAMES

_NAME = typer.Argument(None, metavar="|".join(NAMES), help="One of them; without it, all.")
_JOBS = typer.Option(None, min=1, help="How many jobs a round has.")
_ROUNDS = typer.Option(None, min=1, help="How many rounds; figures are medians over them.")
_PENDING = typer.Option(0, min=0, help="delay: so many other jobs wait for a year meanwhile.")
_BOOTSTRAP = typer.Option(
    None, help="A broker; else KAFKA_BOOTSTRAP_SERVERS, else one is started for the run."
)


def bench(
    name: str | None = _NAME,
    jobs: int | None = _JOBS,
    rounds: int | None = _ROUNDS,
    pending: int = _PENDING,
    bootstrap: str | None = _BOOTSTRAP,
    as_json: bool = JSON,
) -> None:
    """Measure a worker on a real Kafka, and recount the topics; exit code 1 if they differ.

    Progress goes to standard error. With --json the last line of the output is one object.
    """
    names = _chosen(name)
    if pending and name != "delay":
        fail("--pending belongs to `streams bench delay`", exits.USAGE)
    from streams.dev.bench.bench import BenchFailed
    from streams.dev.bench.run import run_benches

    try:
        results = run_benches(
            names,
            jobs=jobs,
            rounds=rounds,
            pending=pending,
            bootstrap=bootstrap or os.environ.get("KAFKA_BOOTSTRAP_SERVERS", ""),
            tell=_teller(),
        )
    except BenchFailed as error:
        fail(str(error), exits.NEGATIVE)
    if as_json:
        _print_line(results[0] if name else {result["bench"]: result for result in results})
        return
    print_table(("bench", "figure", "value"), _rows(results))


def _chosen(name: str | None) -> tuple[str, ...]:
    if name is None:
        return NAMES
    if name not in NAMES:
        fail(f"there is no bench {name!r}; there are: {', '.join(NAMES)}", exits.USAGE)
    return (name,)


def _teller() -> Any:
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    return tell


def _print_line(value: Any) -> None:
    import orjson

    print(orjson.dumps(value).decode(), flush=True)


_ABOUT = ("bench", "how", "each_round", "cores")


def _rows(results: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """One row for each figure; the name of a bench only in its first."""
    rows = []
    for result in results:
        shown = result["bench"]
        for figure, value in _flat(result):
            rows.append((shown, figure, "-" if value is None else f"{value:,}"))
            shown = ""
    return rows


def _flat(result: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in result.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name} ")
        elif name not in _ABOUT:
            flat.append((f"{prefix}{name}", value))
    return flat

"""Runs benches: a broker if there is none, rounds, medians, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.catalog import BENCHES
from streams.dev.bench.cpu import OtherLoad
from streams.dev.bench.stage import Stage
from streams.dev.bench.statistics import medians, tidy
from streams.dev.broker import LocalBroker

Tell = Callable[[str], None]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_benches(
    names: Sequence[str],
    *,
    jobs: int | None,
    rounds: int | None,
    bootstrap: str,
    tell: Tell,
    pending: int = 0,
) -> list[dict[str, Any]]:
    """Run benches one after the other; the result of each, as `result_of` makes it.

    With an empty `bootstrap` they share a broker that is started for them, in a folder under
    `.streams` that is removed in the end.

    Raises:
        BenchFailed: what the topics say does not add up, or a worker ended.
        BrokerUnavailable: no broker answers.
        KeyboardInterrupt: it was interrupted; everything is stopped.
    """
    folder = Path.cwd() / ".streams" / f"bench-{secrets.token_hex(4)}"
    with ExitStack() as leaving:
        leaving.enter_context(_ended_by_signals())
        leaving.callback(_remove, folder)
        folder.mkdir(parents=True)
        is_ours = not bootstrap
        broker_pid = None
        if is_ours:
            tell("starting Apache Kafka")
            broker = LocalBroker(folder / "broker")
            leaving.callback(broker.stop)
            bootstrap = broker.start()
            broker_pid = broker.pid
        stage = Stage(bootstrap, folder, f"{folder.name}.", tell, broker_pid, pending)
        try:
            return asyncio.run(_until_told(_run_all(stage, names, jobs, rounds, clean=not is_ours)))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            # From here on a second Ctrl-C would only leave something behind.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def result_of(
    bench: Bench, figures: Sequence[Figures], *, jobs: int, others: float | None, seconds: float
) -> dict[str, Any]:
    """What is printed of a bench: its figures are medians over the rounds."""
    return {
        "bench": bench.name,
        "jobs": jobs,
        "rounds": len(figures),
        **tidy(medians(figures)),
        "each_round": [tidy(one) for one in figures] if len(figures) > 1 else [],
        "took_seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "cores_busy_with_others": None if others is None else round(others, 2),
        "how": bench.how,
    }


async def _run_all(
    stage: Stage, names: Sequence[str], jobs: int | None, rounds: int | None, *, clean: bool
) -> list[dict[str, Any]]:
    try:
        return [await _run_one(stage, BENCHES[name], jobs, rounds) for name in names]
    finally:
        if clean:
            await stage.delete_topics()


async def _run_one(
    stage: Stage, bench: Bench, jobs: int | None, rounds: int | None
) -> dict[str, Any]:
    began = time.monotonic()
    others = OtherLoad([] if stage.broker_pid is None else [stage.broker_pid])
    jobs, rounds = jobs or bench.jobs, rounds or bench.rounds
    figures = []
    for number in range(1, rounds + 1):
        stage.tell(f"{bench.name}: round {number} of {rounds}")
        figures.append(await bench.run(stage, jobs))
    return result_of(
        bench, figures, jobs=jobs, others=others.cores(), seconds=time.monotonic() - began
    )


async def _until_told(work: Any) -> Any:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    return await task


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does; afterwards all is as it was before."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()

"""`streams history replay --shadow`: handlers in a process of their own, and how that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import ask, fail, print_json

if TYPE_CHECKING:
    from streams.cli.history_replay import Order
    from streams.replay.marks import Marked


def run_shadow(
    order: Order, *, concurrency: int, ignored: frozenset[str], shown: int, yes: bool
) -> None:
    """Run it, and end the command: with exit code 1 if something differs.

    What a handler can do to a process, down to ending it, it does to one that we start: so whatever
    it is, there is somebody left to tell of it, and the exit code is ours.
    """
    from streams.cli.shadow_run import ShadowOrder
    from streams.replay.marks import read_marks

    _warn_of_effects(order, yes)
    asked = ShadowOrder(
        path=tuple(sys.path),
        event=order.event,
        jobs=tuple(each.name for each in order.jobs),
        since=order.since,
        until=order.until,
        now=order.now,
        key=order.key,
        limit=order.limit,
        as_json=order.as_json,
        told=order.told,
        concurrency=concurrency,
        ignored=tuple(sorted(ignored)),
        shown=shown,
    )
    with TemporaryDirectory(prefix="streams-shadow-") as folder:
        marks = Path(folder) / "marks"
        ended = _run_apart(asked.encode(), marks)
        found = read_marks(marks)
    if found.code is not None:
        raise typer.Exit(found.code)
    _tell_end(order, ended, found)


def _warn_of_effects(order: Order, yes: bool) -> None:
    """A handler that never looks whether it runs in shadow may well write a mail to somebody."""
    heedless = [each.name for each in order.jobs if not each.heeds_shadow]
    if not heedless or yes:
        return
    told = (
        f"{', '.join(heedless)}: what it does beside ctx.enqueue and ctx.emit is done for real, as "
        "nothing of it looks at ctx.shadow"
    )
    print(f"streams: {told}", file=sys.stderr)
    if sys.stdin.isatty():
        ask("Run it?")


def _run_apart(asked: bytes, marks: Path) -> int:
    """Run the other process to its end, whatever that is."""
    program = [sys.executable, "-m", "streams.cli.shadow_run", str(marks), str(os.getpid())]
    # A session of its own: Ctrl-C is ours, and reaches it once.
    child = subprocess.Popen(program, stdin=subprocess.PIPE, start_new_session=True)
    with _passed_on(child):
        assert child.stdin is not None
        try:
            child.stdin.write(asked)
            child.stdin.close()
        except BrokenPipeError:  # it has ended already: its exit code says how
            pass
        return child.wait()


@contextmanager
def _passed_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Who interrupts us, interrupts the handlers; what they had found is told then."""
    before = {
        number: signal.signal(number, lambda *_: child.send_signal(signal.SIGINT))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_end(order: Order, code: int, found: Marked) -> None:
    """Say what ran when the process of the handlers ended; the end of the command."""
    from streams.worker.process import told_end

    how = told_end(code)
    if order.as_json:
        print_json(
            {
                "ended": how,
                "jobs": found.jobs,
                "different": found.different,
                "running": found.running,
            }
        )
    fail(f"the process that runs the handlers {how}; {_what_ran(found)}", exits.NEGATIVE)


def _what_ran(found: Marked) -> str:
    over = f"{found.jobs:,} jobs were over, of which {found.different:,} differ"
    if not found.running:
        return f"no job ran then; {over}"
    one_of = (
        "this job ran" if len(found.running) == 1 else "these jobs ran, and one may have done it"
    )
    lines = (_told(each) for each in found.running)
    return "\n".join([f"{over}; {one_of}:", *lines])


def _told(job: dict[str, Any]) -> str:
    said = (job.get("job"), job.get("id"), job.get("event") and f"of event {job['event']}")
    return "  " + "  ".join(each for each in (*said, job.get("place")) if each)

"""The program of a worker process: imports handlers, then runs them, one after the other."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from io import TextIOWrapper
from typing import Any, Final

from streams.jobs.batches import BatchCounts
from streams.jobs.context import Send, SyncJobContext
from streams.jobs.placement import definition_at
from streams.observe.logs import configure
from streams.wire.options import decode_overrides
from streams.wire.topics import TopicNames
from streams.worker.children import ChildSender
from streams.worker.pipe import Message, Pipe, tell_outcome
from streams.worker.pipe_says import PipeSays
from streams.worker.plain_run import drive, run_plainly

PR_SET_PDEATHSIG: Final = 1  # prctl(2), Linux
OOM_SCORE: Final = b"500"  # when memory runs out, the kernel takes us before our worker

# Open to the very end: when it closes, the worker takes us for gone.
_kept: list[socket.socket] = []
_definition_at = lru_cache(maxsize=None)(definition_at)


def main(end: int, worker: int) -> None:
    """Serve the worker with this process id, over the socket with this number, until it is gone."""
    end_with(worker)
    prefer_our_end()
    faulthandler.enable()  # a crash of native code says where
    for number in (signal.SIGINT, signal.SIGTERM):
        # They are for the worker, which ends us in time. Not SIG_IGN: what a handler starts would
        # inherit that.
        signal.signal(number, _leave_to_worker)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen though we are killed
    way = socket.socket(fileno=end)
    _kept.append(way)
    watch(way, lambda: os._exit(1))
    pipe = Pipe(way)
    with contextlib.suppress(EOFError, ConnectionError):
        serve(pipe)


def serve(pipe: Pipe) -> None:
    """Import what the worker names, and run what it sends, until it says that it is enough."""
    hello, _ = pipe.hear()
    sys.path[:] = hello["path"]
    configure(hello["log_format"], hello["log_level"])
    try:
        for module in hello["modules"]:
            importlib.import_module(module)
    except (Exception, SystemExit):
        pipe.say({"say": "failed", "why": traceback.format_exc()})
        return
    send = ChildSender(TopicNames(hello["prefix"]), pipe)
    pipe.say({"say": "ready"})
    while True:
        message, payload = pipe.hear()
        if message["say"] == "end":
            return
        says = PipeSays(pipe, message["checkpointed"])
        pipe.begin()
        outcome, result = tell_outcome(run_plainly(*_read_run(message, payload, send, says)))
        says.close()
        pipe.end()
        pipe.say({"say": "over", "memory": memory(), **outcome}, result)


def _read_run(message: Message, payload: bytes, send: Send, says: PipeSays) -> tuple[Any, ...]:
    definition = _definition_at(message["module"], message["handler"])
    # The rest of the policy is code, and is here as it is there.
    stated = decode_overrides(message["retry"])
    retry = replace(definition.retry, attempts=stated.attempts or definition.retry.attempts)
    if stated.backoff is not None:
        retry = replace(retry, backoff=stated.backoff)
    known = dict(message["context"])
    if known["batch"] is not None:
        size, completed, failed = known["batch"]
        known["batch"] = BatchCounts(size=size, completed=completed, failed=failed)
    context = SyncJobContext(wait=drive, send=send, says=says, **known)
    return definition, payload, context, retry


def end_with(worker: int) -> None:
    """Let the kernel kill us when our worker ends, whatever we are doing then (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it ended before the line above
        os._exit(1)


def prefer_our_end() -> None:
    """Ask the kernel to end us rather than the worker when memory runs out (Linux)."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:
        file.write(OOM_SCORE)


def watch(way: socket.socket, on_end: Callable[[], object]) -> None:
    """Call when the worker is gone, also while a handler runs."""
    poll = select.poll()
    poll.register(way, 0)  # the other end's end is told though nothing is asked for

    def wait() -> None:
        poll.poll()
        on_end()

    threading.Thread(target=wait, name="watch", daemon=True).start()


def memory() -> int:
    """Bytes of memory that this process has resident (where there is no /proc, the most it had)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _leave_to_worker(number: int, frame: object) -> None:
    pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""Handlers that run in processes of their own, which import this module."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from streams import Discard, Fixed, JobPayload, PermanentError, Retry, Snooze, SyncJobContext, job


class Work(JobPayload, name="work"):
    """What to do, and with what."""

    do: str
    path: str = ""


class Child(JobPayload, name="child", queue="bulk", key="n"):
    n: int


class Hopeless(Exception):
    """Of no use to retry."""


def _is_hopeless(error: BaseException) -> bool | None:
    return True if "hopeless" in str(error) else None


@job(
    runs_in="process",
    retry=Retry(attempts=3, backoff=Fixed("7s"), permanent=(Hopeless,), classify=_is_hopeless),
)
def work(payload: Work, ctx: SyncJobContext) -> object:
    ctx.raise_if_cancelled()  # a process is ended without being asked
    match payload.do:
        case "pid":
            return os.getpid()
        case "context":
            return ctx.plain()
        case "enqueue":
            return [ctx.enqueue(Child(n=1)), ctx.enqueue(Child(n=1), delay="1m")]
        case "much":
            return "x" * 100_000
        case "print":
            print("printed")
        case "raise":
            raise ValueError("raised")
        case "permanent":
            raise PermanentError("gone")
        case "typed":
            raise Hopeless("typed")
        case "classified":
            raise ValueError("it is hopeless")
        case "snooze":
            raise Snooze("1h", blocks_key=True)
        case "discard":
            raise Discard("not needed")
        case "leave":
            sys.exit("left")
        case "exit":
            os._exit(3)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "signals":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            return "here still"
        case "loop" | "start a child and loop" | "loop in native code":
            pids = [os.getpid()]
            if payload.do == "start a child and loop":
                pids.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]).pid)
            part = Path(payload.path + ".part")
            part.write_text(" ".join(map(str, pids)))
            part.rename(payload.path)
            if payload.do == "loop in native code":  # no other thread of the process runs then
                re.match(r"(a+)+$", "a" * 100 + "b")
            while True:
                pass
        case "sleep":
            time.sleep(60)
    return None

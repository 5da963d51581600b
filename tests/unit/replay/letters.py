"""Letters for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streams.jobs.identity import JobKey
from streams.replay.letters import Letter

_LETTER = Letter(
    key=b'["mail","mail:7","a"]#0',
    queue="critical",
    job=JobKey(name="mail", ordering_key="mail:7", id="a"),
    generation=0,
    attempts=3,
    error="ValueError",
    message="no",
    trace="",
    first_failure=1_000,
    last_failure=2_000,
    origin=("p.jobs.critical", 3, 17),
    worker="host-1",
    version="1.0",
    place=(3, 40),
    record_key=b"mail:7",
    payload=b"{}",
    headers=(),
)


def a_letter(id: str = "a", **fields: Any) -> Letter:
    """One of a job `mail` with the key 7."""
    job = replace(_LETTER.job, id=id) if _LETTER.job is not None else None
    return replace(_LETTER, **{"job": job, "key": f"{id}#0".encode(), **fields})

"""What a replay in shadow found, for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from streams.cli import exits
from streams.cli.output import harmless, print_blocks, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.cli.history_replay import Order
    from streams.replay.comparing import Account, Difference
    from streams.replay.shadow_report import Compared, ShadowReport

_ROOM: Final = 500  # characters of a value, for people
_TRACE: Final = 2_000  # characters of a trace, for people: its end has what matters

_NO_FIELD: Final = "--ignore {}: nothing that was compared has this field"

Lines = list[tuple[str, str]]


def print_report(order: Order, report: ShadowReport, notes: Iterable[str]) -> int:
    """Print it, and return the exit code that goes with it."""
    for note in (*notes, *_notes(order, report)):
        print(f"streams: {note}", file=sys.stderr)
    if order.as_json:
        print_json(_plain(report))
    elif report.events:
        _print_counts(report)
    code, why = verdict(order.told, report)
    if why:
        print(f"streams: {why}", file=sys.stderr)
    return code


def verdict(told: str, report: ShadowReport) -> tuple[int, str]:
    """The exit code, and what there is to say of it; `told` is what was asked for."""
    slips = [(name, meant) for name, meant in _never_seen(report) if meant]
    if slips:
        hints = (f"{_NO_FIELD.format(name)}; did you mean {meant}?" for name, meant in slips)
        return exits.USAGE, "; ".join(hints)
    if report.different:
        return exits.NEGATIVE, ""
    if not report.events:
        return exits.NOT_FOUND, f"there are no such events: {told}"
    if not report.compared:
        return exits.NOT_FOUND, (
            f"nothing was compared: of none of {report.jobs:,} jobs is it on record what it came to"
        )
    return exits.DONE, ""


def _notes(order: Order, report: ShadowReport) -> Iterable[str]:
    from streams.durations import to_ms
    from streams.replay.recorded import NO_RECORD

    kept = order.settings.ledger_kept
    if report.why_unrecorded[NO_RECORD] and order.since < order.now - to_ms(kept):
        yield f"jobs are on record for {kept} after their end: see STREAMS_LEDGER_KEPT"
    if report.unreadable:
        yield f"{report.unreadable:,} events can't be read"
    for name, meant in _never_seen(report):
        if not meant:  # it may be for handlers that did not run
            yield _NO_FIELD.format(name)


def _never_seen(report: ShadowReport) -> Iterable[tuple[str, str]]:
    """Fields that are ignored and nowhere, each with the one that was meant, if one is like it."""
    from streams.jobs.meant import meant_by

    for name in report.never_seen:
        yield name, next(iter(meant_by(name, report.fields)), "")


def _print_counts(report: ShadowReport) -> None:
    print_table(
        ("job", "same", "different", "unrecorded"),
        [
            (job, f"{counts.same:,}", f"{counts.different:,}", f"{counts.unrecorded:,}")
            for job, counts in report.by_job.items()
        ],
    )
    traced: set[tuple[str, str]] = set()
    print_blocks(_block(each, traced) for each in report.shown)
    more = report.different - len(report.shown)
    if more > 0:
        print(f"{more:,} more differ: --show {report.different} shows them all")
    if report.unrecorded:
        print_blocks(_block(each, traced) for each in report.shown_alone)
        why = ", ".join(f"{count:,}: {text}" for text, count in report.why_unrecorded.items())
        now = ", ".join(f"{count:,} {ended}" for ended, count in report.ended_unrecorded.items())
        print(f"nothing to compare with ({why}); in shadow {now or 'none ran'}")
    if report.sent:
        held = ", ".join(f"{count:,} {name}" for name, count in report.sent.most_common())
        unknown = f" ({report.sent_unknown:,} not compared)" if report.sent_unknown else ""
        print(f"held back: {held}{unknown}")
    print(f"{report.events:,} events, {report.jobs:,} jobs: {report.different:,} differ")


def _block(one: Compared, traced: set[tuple[str, str]]) -> tuple[str, Lines]:
    """One job; of a trace only the first one with its error, of `traced` ones."""
    lines = [
        ("event", f"{one.event} of {show_time(one.time)}, {one.place}"),
        ("key", one.key or ""),
    ]
    for each in one.differences:
        lines += _difference(each)
    if one.unrecorded:
        lines += [("unrecorded", one.unrecorded), *_alone(one)]
    if one.now is not None and one.now.trace and (one.job, one.now.error) not in traced:
        traced.add((one.job, one.now.error))
        lines += _trace(one.now)
    return f"{one.job}  {one.id}", [(name, harmless(value)) for name, value in lines]


def _difference(one: Difference) -> Lines:
    from streams.replay.comparing import around_difference

    then, now = around_difference(one.then, one.now, _ROOM)
    return [("differs at", one.at), (f"{one.what} then", then), ("now", now)]


def _alone(one: Compared) -> Lines:
    from streams.replay.comparing import cut

    if one.now is None:
        return []
    result = "" if one.now.result is None else cut(one.now.result.decode(errors="replace"), _ROOM)
    return [("now", one.now.told()), ("result", result), ("sent", ", ".join(one.sent))]


def _trace(account: Account) -> Lines:
    text = account.trace.rstrip()
    if len(text) > _TRACE:
        text = "...\n" + text[-_TRACE:].partition("\n")[2]
    first, *rest = text.splitlines()
    return [("trace", first), *(("", line) for line in rest)]


def _plain(report: ShadowReport) -> dict[str, Any]:
    return {
        "events": report.events,
        "unreadable": report.unreadable,
        "jobs": report.jobs,
        "same": report.same,
        "different": report.different,
        "unrecorded": report.unrecorded,
        "byJob": {
            job: {
                "same": counts.same,
                "different": counts.different,
                "unrecorded": counts.unrecorded,
            }
            for job, counts in report.by_job.items()
        },
        "byWhat": dict(report.by_what),
        "whyUnrecorded": dict(report.why_unrecorded),
        "unrecordedNow": dict(report.ended_unrecorded),
        "heldBack": dict(report.sent),
        "heldBackNotCompared": report.sent_unknown,
        "differences": [
            {
                **_which(one),
                "differences": [
                    {"what": each.what, "then": each.then, "now": each.now, "at": each.at or None}
                    for each in one.differences
                ],
                "failed": _failed(one.now),
            }
            for one in report.shown
        ],
        "unrecordedShown": [
            {**_which(one), "why": one.unrecorded, "now": _now(one), "failed": _failed(one.now)}
            for one in report.shown_alone
        ],
    }


def _which(one: Compared) -> dict[str, Any]:
    return {
        "job": one.job,
        "id": one.id,
        "key": one.key,
        "event": one.event,
        "place": one.place,
        "time": one.time,
    }


def _failed(now: Account | None) -> dict[str, str] | None:
    if now is None or not now.error:
        return None
    return {"error": now.error, "message": now.message, "trace": now.trace}


def _now(one: Compared) -> dict[str, Any] | None:
    from streams.replay.comparing import cut

    if one.now is None:
        return None
    result = one.now.result
    return {
        "outcome": str(one.now.ended),
        "message": one.now.message,
        "result": None if result is None else cut(result.decode(errors="replace")),
        "sent": list(one.sent),
    }

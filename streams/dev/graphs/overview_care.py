"""Rows of the overview: what somebody has to look after."""

from __future__ import annotations

from typing import Final

from streams.dev.graphs import panels as unit
from streams.dev.graphs.dashboard import Row
from streams.dev.graphs.panels import Lines, Query, Table
from streams.dev.graphs.queries import (
    deriv,
    grown,
    grown_from_nothing,
    highest,
    rate,
    total,
)
from streams.dev.graphs.scopes import (
    ALL,
    BUSY,
    DEAD,
    QUEUES,
    RETRIED,
    SLOTS,
)
from streams.dev.graphs.shared import became, by
from streams.observe import gauges, metrics, sums

LETTERS: Final = Row(
    "Dead letters",
    [
        by(
            "queue",
            "Dead letters, by queue",
            "How many there are that nobody has resolved: look at them with `streams dlq "
            "ls`. Above 50 it alarms.",
            QUEUES.of(gauges.DEAD_NOW),
            limits=((50, "orange"),),
        ),
        by(
            "queue",
            "Growth in ten minutes, by queue",
            "Jobs that were given up within ten minutes. Above 10 it alarms.",
            grown(DEAD, "10m"),
            limits=((10, "orange"),),
        ),
        by(
            "queue",
            "Replays",
            "Dead jobs that were replayed, by people or by their definition.",
            rate(QUEUES.of(metrics.REPLAYS)),
            unit=unit.JOBS_PER_SECOND,
        ),
        Table(
            title="Jobs that fail most",
            about="By name: jobs that were given up, and attempts that failed and were retried, "
            "within the time that is shown.",
            queries=[
                Query(total(grown(DEAD, "$__range"), "queue", "name")),
                Query(total(grown(RETRIED, "$__range"), "queue", "name")),
            ],
            labels=("queue", "name"),
            columns=("given up", "retried"),
            sort_by="given up",
            width=16,
        ),
        by(
            "queue",
            "Records that are no job",
            "What could not be decoded: each has a dead letter with its bytes.",
            rate(QUEUES.of(metrics.UNDECODABLE)),
            unit=unit.PER_SECOND,
        ),
    ],
)

SCHEDULES: Final = Row(
    "Schedules",
    [
        by(
            "schedule",
            "Ticks in an hour",
            "How many ticks of each schedule were enqueued within an hour.",
            grown_from_nothing(ALL.of(metrics.TICKS, outcome="enqueued"), "1h"),
        ),
        by(
            "schedule",
            "Missed ticks in an hour",
            "Ticks that were due while no worker was there: whether they ran later is up to "
            "the schedule. Any of them alarms.",
            grown_from_nothing(ALL.of(metrics.TICKS, outcome="missed"), "1h"),
        ),
        Table(
            title="Next runs",
            about="When the next tick of each schedule is due. One that is past, and stays past, "
            "can't be enqueued: after two minutes it alarms. A paused schedule is not here.",
            queries=[Query(f"{highest(ALL.of(gauges.NEXT_TICK), 'schedule')} * 1000")],
            labels=("schedule",),
            columns=("next",),
            sort_by="next",
            rising=True,
            unit=unit.SINCE,
        ),
        Table(
            title="Ticks within the time that is shown",
            about="Enqueued; missed, as no worker was there; skipped: missed, and by the "
            "schedule's policy not run.",
            queries=[
                Query(
                    total(
                        grown_from_nothing(ALL.of(metrics.TICKS, outcome=outcome), "$__range"),
                        "schedule",
                    )
                )
                for outcome in ("enqueued", "missed", "skipped")
            ],
            labels=("schedule",),
            columns=("enqueued", "missed", "skipped"),
            sort_by="missed",
            width=24,
        ),
    ],
)

AUDIT: Final = Row(
    "The audit",
    [
        became(QUEUES),
        by(
            "queue",
            "Accepted in a second, by queue",
            "How fast jobs are taken from the queues, as state has it: a copy does not "
            "count, and a restart changes nothing.",
            deriv(QUEUES.of(sums.AUDIT_JOBS, state="accepted"), "5m"),
            unit=unit.JOBS_PER_SECOND,
        ),
        by(
            "queue",
            "Unaccounted, by queue",
            "It is 0. If it is not for two minutes it alarms: `streams audit` recounts the "
            "topics, and names the jobs.",
            QUEUES.of(sums.AUDIT_UNACCOUNTED),
        ),
    ],
)

WORKERS: Final = Row(
    "Workers",
    [
        Lines(
            title="Workers, by version",
            about="How many there are: two versions side by side while a new one is rolled out.",
            queries=[Query(f"count by (version) ({ALL.of(gauges.INFO)})", "{{version}}")],
            stacked=True,
        ),
        Lines(
            title="Slots in use",
            about="The part of all slots in which an attempt runs, by their kind: coroutines on "
            "the loop, threads, processes. At 100 % jobs wait for slots: more workers, or "
            "STREAMS_CONCURRENCY.",
            queries=[
                Query(
                    f"{BUSY} / {SLOTS}",
                    "{{kind}}",
                )
            ],
            unit=unit.SHARE,
            most=1,
        ),
        Lines(
            title="Memory, by worker",
            about="Resident memory of each worker's own process.",
            queries=[
                Query(
                    f"{ALL.of('process_resident_memory_bytes')} "
                    f"and on (instance, process) {ALL.of(gauges.INFO)}",
                    "{{instance}} {{process}}",
                )
            ],
            unit=unit.BYTES,
        ),
    ],
)

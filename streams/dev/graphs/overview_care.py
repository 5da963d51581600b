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
from streams.dev.graphs.shared import became
from streams.observe import gauges, metrics, sums

LETTERS: Final = Row(
    "Dead letters",
    [
        Lines(
            title="Dead letters, by queue",
            about="How many there are that nobody has resolved: look at them with `streams dlq "
            "ls`. Above 50 it alarms.",
            queries=[Query(total(QUEUES.of(gauges.DEAD_NOW), "queue"), "{{queue}}")],
            limits=((50, "orange"),),
            to_queue=True,
        ),
        Lines(
            title="Growth in ten minutes, by queue",
            about="Jobs that were given up within ten minutes. Above 10 it alarms.",
            queries=[Query(total(grown(DEAD, "10m"), "queue"), "{{queue}}")],
            limits=((10, "orange"),),
            to_queue=True,
        ),
        Lines(
            title="Replays",
            about="Dead jobs that were replayed, by people or by their definition.",
            queries=[Query(total(rate(QUEUES.of(metrics.REPLAYS)), "queue"), "{{queue}}")],
            unit=unit.JOBS_PER_SECOND,
            to_queue=True,
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
        Lines(
            title="Records that are no job",
            about="What could not be decoded: each has a dead letter with its bytes.",
            queries=[Query(total(rate(QUEUES.of(metrics.UNDECODABLE)), "queue"), "{{queue}}")],
            unit=unit.PER_SECOND,
        ),
    ],
)

SCHEDULES: Final = Row(
    "Schedules",
    [
        Lines(
            title="Ticks in an hour",
            about="How many ticks of each schedule were enqueued within an hour.",
            queries=[
                Query(
                    total(
                        grown_from_nothing(ALL.of(metrics.TICKS, outcome="enqueued"), "1h"),
                        "schedule",
                    ),
                    "{{schedule}}",
                )
            ],
        ),
        Lines(
            title="Missed ticks in an hour",
            about="Ticks that were due while no worker was there: whether they ran later is up to "
            "the schedule. Any of them alarms.",
            queries=[
                Query(
                    total(
                        grown_from_nothing(ALL.of(metrics.TICKS, outcome="missed"), "1h"),
                        "schedule",
                    ),
                    "{{schedule}}",
                )
            ],
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
        Lines(
            title="Accepted in a second, by queue",
            about="How fast jobs are taken from the queues, as state has it: a copy does not "
            "count, and a restart changes nothing.",
            queries=[
                Query(
                    total(deriv(QUEUES.of(sums.AUDIT_JOBS, state="accepted"), "5m"), "queue"),
                    "{{queue}}",
                )
            ],
            unit=unit.JOBS_PER_SECOND,
            to_queue=True,
        ),
        Lines(
            title="Unaccounted, by queue",
            about="It is 0. If it is not for two minutes it alarms: `streams audit` recounts the "
            "topics, and names the jobs.",
            queries=[Query(total(QUEUES.of(sums.AUDIT_UNACCOUNTED), "queue"), "{{queue}}")],
            to_queue=True,
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

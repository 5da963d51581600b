"""The dashboard of one worker: its slots, its loop, its partitions, its process."""

from __future__ import annotations

from typing import Final

from streams.dev.graphs import panels as unit
from streams.dev.graphs.colours import BAD, GOOD, WARNING
from streams.dev.graphs.dashboard import Dashboard, Row, Variable
from streams.dev.graphs.panels import Lines, Query, Stat
from streams.dev.graphs.queries import Scope, highest, quantile, rate, total
from streams.dev.graphs.shared import by, number, quantiles, run_quantiles
from streams.observe import gauges, metrics

_WORKER: Final = Scope('job=~"$job",instance="$instance",process=~"$process"')
_LAGS: Final = _WORKER.of(f"{metrics.LOOP_LAG}_bucket")
_BUSY: Final = total(_WORKER.of(gauges.BUSY))

NOW: Final = Row(
    "Now",
    [
        Stat(
            title="Version",
            about="Of jobstreams, as it is installed there.",
            queries=[Query(f"count by (version) ({_WORKER.of(gauges.INFO)})", "{{version}}")],
            text=True,
        ),
        number(
            "Up for",
            "Since the process began. Processes of one supervisor: the youngest.",
            f"time() - {highest(_WORKER.of('process_start_time_seconds'))}",
            unit=unit.SECONDS,
        ),
        number("Active", "Attempts that run at this moment.", total(_WORKER.of(gauges.ACTIVE))),
        number(
            "In hand",
            "Jobs that were admitted and are not settled: they run, or wait for a slot or "
            "for their key.",
            total(_WORKER.of(gauges.IN_HAND)),
        ),
        number(
            "Partitions",
            "Partitions of queues that this worker owns.",
            total(_WORKER.of(gauges.PARTITIONS)),
            steps=((None, WARNING), (1, GOOD)),
        ),
        number(
            "Slots in use",
            "The part of its slots in which an attempt runs.",
            f"{_BUSY} / {total(_WORKER.of(gauges.SLOTS))}",
            unit=unit.SHARE,
            steps=((None, GOOD), (0.8, WARNING), (1, BAD)),
        ),
        number(
            "Loop lag, p99",
            "How late the event loop turns, 99 times of a hundred at most.",
            quantile(0.99, _LAGS),
            unit=unit.SECONDS,
            steps=((None, GOOD), (0.1, WARNING), (1, BAD)),
        ),
        number(
            "Memory",
            "Resident memory of the worker's process.",
            total(_WORKER.of("process_resident_memory_bytes")),
            unit=unit.BYTES,
        ),
    ],
)

WORK: Final = Row(
    "Work",
    [
        by(
            "queue",
            "Jobs that are over, by queue",
            "How many jobs of each queue end here in a second.",
            rate(_WORKER.of(metrics.JOBS)),
            unit=unit.JOBS_PER_SECOND,
            stacked=True,
        ),
        by(
            "outcome",
            "Jobs that are over, by outcome",
            "How the jobs ended that ran here. A worker whose jobs fail where those of "
            "others do not lacks something.",
            rate(_WORKER.of(metrics.JOBS)),
            unit=unit.JOBS_PER_SECOND,
            stacked=True,
        ),
        run_quantiles(_WORKER),
        Lines(
            title="Slots, by kind",
            about="In how many slots an attempt runs, and how many there are: for coroutines on "
            "the loop, for functions in threads, for processes.",
            queries=[
                Query(total(_WORKER.of(gauges.BUSY), "kind"), "{{kind}} in use"),
                Query(total(_WORKER.of(gauges.SLOTS), "kind"), "{{kind}} there are"),
            ],
        ),
        by(
            "queue",
            "Active, by queue",
            "Attempts that run. Queues share the slots by STREAMS_WEIGHTS.",
            _WORKER.of(gauges.ACTIVE),
            stacked=True,
        ),
        by(
            "queue",
            "In hand, by queue",
            "Jobs that were admitted and are not settled. At 5,000 the queue is held back.",
            _WORKER.of(gauges.IN_HAND),
            stacked=True,
        ),
    ],
)

PARTITIONS: Final = Row(
    "Partitions",
    [
        by(
            "queue",
            "Partitions, by queue",
            "Those that it owns. It gets others when workers come or go.",
            _WORKER.of(gauges.PARTITIONS),
            stacked=True,
        ),
        by(
            "queue",
            "Lag, by queue",
            "Records in its partitions that are not settled or taken over yet.",
            _WORKER.of(gauges.LAG),
        ),
        by(
            "queue",
            "Age of the commit, by queue",
            "For how long the commit of one of its partitions has not moved though there is "
            "more behind it.",
            _WORKER.of(gauges.COMMIT_AGE),
            measure=highest,
            unit=unit.SECONDS,
        ),
    ],
)

LOOP: Final = Row(
    "Event loop",
    [
        Lines(
            title="How late the loop turns",
            about="The loop is to turn fifty times a second. What it is late by, every coroutine "
            "of this worker waits, heartbeats and settling too.",
            queries=quantiles(_LAGS),
            unit=unit.SECONDS,
        ),
        by(
            "name",
            "Blocked, by handler",
            "How often a handler blocked the loop for more than 100 ms; the log has the "
            "line. Make it a `def`, which runs in a thread.",
            rate(_WORKER.of(metrics.BLOCKED)),
            unit=unit.PER_SECOND,
        ),
        Lines(
            title="Threads that never return",
            about="Functions that go on in their threads though their attempts are over. Each "
            "beyond STREAMS_ABANDONED_THREADS keeps its slot.",
            queries=[Query(total(_WORKER.of(gauges.ABANDONED_NOW)), "threads")],
        ),
    ],
)

PROCESS: Final = Row(
    "Process",
    [
        Lines(
            title="Processor",
            about="Cores that it uses. A worker can use one for handlers on the loop, and a bit "
            "more for state and reading.",
            queries=[
                Query(rate(_WORKER.of("process_cpu_seconds_total")), "{{instance}} {{process}}")
            ],
        ),
        Lines(
            title="Memory",
            about="Resident memory, without that of worker processes.",
            queries=[
                Query(_WORKER.of("process_resident_memory_bytes"), "{{instance}} {{process}}")
            ],
            unit=unit.BYTES,
        ),
        Lines(
            title="Open files",
            about="Files and connections. What only grows will meet a limit.",
            queries=[Query(_WORKER.of("process_open_fds"), "{{instance}} {{process}}")],
        ),
    ],
)

WORKER: Final = Dashboard(
    uid="jobstreams-worker",
    title="jobstreams: one worker",
    about="One worker of jobstreams, or the processes of one supervisor.",
    variables=[
        Variable(name="job", label="Job", query=f"label_values({gauges.INFO}, job)", many=True),
        Variable(
            name="instance",
            label="Worker",
            query=f'label_values({gauges.INFO}{{job=~"$job"}}, instance)',
        ),
        Variable(
            name="process",
            label="Process",
            query=f'label_values({gauges.INFO}{{instance="$instance"}}, process)',
            many=True,
        ),
    ],
    rows=[NOW, WORK, PARTITIONS, LOOP, PROCESS],
)

"""The job that a schedule enqueues now, whether somebody started it by hand or called for it."""

from __future__ import annotations

from streams.client import JobClient
from streams.client_delivery import Delivery
from streams.client_handle import Handle
from streams.cron.missed import Firing
from streams.cron.schedule import Schedule
from streams.cron.tick import Tick, local_time
from streams.cron.ticks import latest_ticks, tick_id
from streams.jobs.identity import new_id
from streams.wire.envelope import Envelope
from streams.wire.partition import partition_of
from streams.wire.topics import TopicNames
from streams.worker.schedules import SOURCE, Planned, cancel_command, tick_envelope

_MINUTE_MS = 60_000


def called_envelope(planned: Planned, now: int) -> Envelope:
    """The job of the latest tick that is not after `now` (ms since the epoch), for a call then.

    It is the job that a worker enqueues for that tick, so that both are one. Before the first tick
    it is one for each minute.
    """
    ticks = latest_ticks(planned.schedule, 0, now, 1)
    if ticks:
        return tick_envelope(planned, Firing(tick_ms=ticks[0]))
    minute = now - now % _MINUTE_MS
    return Envelope(
        id=tick_id(planned.name, minute),
        name=planned.job,
        source=SOURCE,
        time=minute,
        queue=planned.queue,
        payload=_payload(planned, minute),
        key=planned.key,
    )


async def enqueue_called(
    delivery: Delivery, names: TopicNames, planned: Planned, envelope: Envelope
) -> None:
    """Enqueue the job of a call; again is harmless, as long as the ledger knows it.

    Raises:
        BrokerUnavailable: not acknowledged in time.
        TopicMismatch: its queue has no topic.
    """
    await cancel_previous(delivery, names, planned, envelope.time)
    await delivery.deliver([(names.queue(planned.queue), envelope)])


async def run_by_hand(client: JobClient, planned: Planned, now: int) -> Handle:
    """Enqueue one run of `now` (ms since the epoch); `cancel_previous` is to be called before.

    Raises:
        BrokerUnavailable: not acknowledged in time.
        TopicMismatch: its queue has no topic.
    """
    # A key has its scope in front, and is put together again.
    scope, _, key = (planned.key or "").partition(":")
    return await client.enqueue_raw(
        planned.job,
        planned.queue,
        _payload(planned, now),
        key=None if planned.key is None else key,
        key_scope=scope or None,
        id=f"{planned.name}:manual:{new_id()}",
    )


def _payload(planned: Planned, at: int) -> bytes:
    if planned.payload is not None:
        return planned.payload
    return manual_tick(planned.schedule, planned.name, at).model_dump_json().encode()


def manual_tick(schedule: Schedule, name: str, at: int) -> Tick:
    """What the handler of a run receives that is none of the schedule's own."""
    return Tick(schedule=name, time=local_time(schedule, at), is_manual=True)


async def cancel_previous(delivery: Delivery, names: TopicNames, planned: Planned, at: int) -> None:
    """With that policy for overlaps, end what runs or waits of what was sent before `at`.

    Raises:
        BrokerUnavailable: not acknowledged in time.
        TopicMismatch: its queue has no topic.
    """
    if not planned.cancels or planned.key is None:
        return
    ends = await delivery.ends(names.queue(planned.queue))
    partition = partition_of(planned.key.encode(), len(ends))
    key, value = cancel_command(planned, at, ends[partition])
    await delivery.append(
        names.commands(planned.queue), key=key, value=value, partition=partition, job_id=None
    )

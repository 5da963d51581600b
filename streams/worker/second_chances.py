"""Dead jobs replayed by command or by policy, discarded by policy, and sent on as other jobs."""

from __future__ import annotations

import logging
from dataclasses import replace

from streams.wire import headers as h
from streams.wire.commands import Command
from streams.wire.envelope import decode, encode
from streams.wire.state import OpenEntry, sent_to
from streams.worker import open_jobs
from streams.worker.admission import entry_record
from streams.worker.dead_hooks import due_by_policy, fits, policy_of, policy_since
from streams.worker.owned import Owned
from streams.worker.parking import park_attempts
from streams.worker.ports import Append
from streams.worker.settlement import Settlement

logger = logging.getLogger(__name__)


def replay_dead(
    owned: Owned,
    entry: OpenEntry,
    settlement: Settlement,
    now: int,
    *,
    is_repeated: bool = True,
) -> None:
    """Open a dead job again; what waits in hand is behind it from then on, durably."""
    lane = owned.lane_of_entry(entry)
    open_jobs.replay(entry, lane, settlement, owned.place, now, is_repeated=is_repeated)
    if lane is not None:
        park_attempts(owned, owned.hand.give_back(lane), settlement, now)


def by_policy(owned: Owned, entry: OpenEntry, settlement: Settlement, now: int) -> None:
    """Do with a dead job what its definition wants now that it is due."""
    definition = owned.registry.by_name(entry.job.name)
    policy, since = policy_of(definition), policy_since(entry)
    if policy.is_discarded(since, now):
        unique_for_ms = owned.unique_for_ms(entry.job)
        reason = f"nobody resolved it in {policy.discard_after}"
        open_jobs.discard(entry, reason, settlement, owned.place, now, unique_for_ms)
    elif policy.is_replayed(entry.generation, since, now):
        replay_dead(owned, entry, settlement, now, is_repeated=False)
    else:  # the policy is another one by now, or not known here
        due = due_by_policy(entry, definition, now)
        settlement.open(replace(entry, due=due), owned.lane_of_entry(entry))


def with_payload(entry: OpenEntry, payload: bytes) -> OpenEntry:
    """A job with another payload, which is JSON; its headers say so."""
    headers = entry.headers
    kind = next((v for n, v in headers if n.lower() == h.CONTENT_TYPE), None) or b""
    if kind.lower().startswith(b"application/cloudevents"):  # the old one was inside of it
        _, _, ours = encode(replace(decode(entry_record(entry)), content_type=h.JSON))
        own = {name for name, _ in ours}
        headers = (*((n, v) for n, v in headers if n.lower() not in own), *ours)
    return replace(entry, payload=payload, headers=headers, envelope=None)


def send_on(
    owned: Owned, entry: OpenEntry, command: Command, settlement: Settlement, now: int
) -> None:
    """End a dead job, and enqueue it with the same id elsewhere, in one settlement.

    The new job goes before the old one's end: a crash in between repeats it, with the same time,
    which is later than all that was sent before the command: what is on record there of this id is
    older, whatever clocks said of the job itself.
    """
    envelope = decode(entry_record(entry))
    options = envelope.options
    again = replace(
        envelope,
        name=command.name,
        queue=command.queue,
        key=command.key,
        time=max(command.due, entry.failed_at, entry.time + 1),
        payload=envelope.payload if command.payload is None else command.payload,
        not_before=None,
        expires=None,
        child_of=None,  # that it is dead is what its callback was told
        awaits=None,
        moved_from=owned.place.queue,
        # Its sender meant the queue that it was sent to.
        options=None if options is None else replace(options, replaces_dead=False),
    )
    key, value, headers = encode(again)
    topic = owned.place.names.queue(command.queue)
    follower = Append(topic, None, key, value, headers)
    if not fits(follower):
        logger.warning("move of %s: it is too large to be sent again", entry.job.id)
        return
    settlement.followers.append(follower)
    reason = sent_to(command.queue, command.name)
    unique_for_ms = owned.unique_for_ms(entry.job)
    open_jobs.discard(entry, reason, settlement, owned.place, now, unique_for_ms)

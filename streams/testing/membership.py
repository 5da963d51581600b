"""A worker's part in its group: it joins, confirms, sends heartbeats and gives back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.testing.coordinator import Answer
from streams.testing.lease import HEARTBEAT_MS, Lease

if TYPE_CHECKING:
    from streams.testing.worker import MemoryWorker


class Membership:
    """Goes from one generation to the next, and tells its worker."""

    def __init__(self, worker: MemoryWorker) -> None:
        self.lease = Lease(worker.cluster.clock)
        self._worker = worker
        self._coordinator = worker.cluster.coordinator
        self.member = self._coordinator.enter(worker.name, self._rebalance_is_due)
        self._beats = False
        self._must_rejoin = asyncio.Event()

    async def run(self) -> None:
        """Take part until cancelled."""
        worker, coordinator, lease = self._worker, self._coordinator, self.lease
        while True:
            self._beats = False
            lease.pause()
            await worker.network.round_trip()
            generation, partitions = await coordinator.join(self.member)
            sent = worker.cluster.clock.now()
            answer = coordinator.sync(self.member, generation)
            await worker.network.round_trip()
            if answer is Answer.UNKNOWN:
                self._be_new()
                continue
            if answer is Answer.REBALANCE:
                continue
            self._beats = True
            was_frozen = worker.cluster.clock.now() > sent + HEARTBEAT_MS
            lease.begin(sent, beating=not was_frozen)
            if was_frozen:
                self.heartbeat()
            else:
                coordinator.heard(self.member)
            if not coordinator.is_stable:
                self._rebalance_is_due()
            await worker.assign(generation, partitions)
            await self._until_rebalance()
            await worker.revoke()

    def heartbeat(self) -> None:
        """Send one after a silence."""
        if not self._beats:
            return  # it is on its way into the group
        sent = self._worker.cluster.clock.now()
        answer = self._coordinator.heartbeat(self.member)
        if answer is Answer.UNKNOWN:
            self._be_new()
        if answer is Answer.OK:
            self.lease.begin(sent)
            self._worker.engine.executor.go_on()
        else:  # who does not rejoin in time is expelled without a word: it proves nothing
            self._must_rejoin.set()

    def end(self) -> None:
        """Leave the group."""
        self._coordinator.leave(self.member)
        self.lease.end()

    @property
    def is_settled(self) -> bool:
        """Whether no rebalance is known of."""
        return not self._must_rejoin.is_set()

    async def _until_rebalance(self) -> None:
        while True:
            await self._must_rejoin.wait()
            self._must_rejoin.clear()
            if self._coordinator.heartbeat(self.member) is not Answer.OK:
                self.lease.refused()
                return

    def _be_new(self) -> None:
        """The coordinator does not know this member any more: its session is over."""
        self.lease.end()
        self._worker.on_expelled()
        self.member = self._coordinator.enter(self._worker.name, self._rebalance_is_due)

    def _rebalance_is_due(self) -> None:
        """The next heartbeat says so."""
        when = self._worker.network.heartbeat_at(self.lease.next_heartbeat)
        self._worker.cluster.at(self._worker, when, self._must_rejoin.set)

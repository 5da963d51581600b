"""Dead jobs of a definition, replayed since its breaker has closed: looked for bit by bit."""

from __future__ import annotations

from typing import Final

from streams.jobs.identity import read_state_key
from streams.jobs.states import State
from streams.worker.dead_hooks import policy_of
from streams.worker.owned import Owned
from streams.worker.second_chances import replay_dead
from streams.worker.settlement import Settlement
from streams.worker.tables import OPEN

LOOKED_AT: Final = 1_000  # entries of the open table in a turn


class Revivals:
    """Of one partition. A crash ends them: the next time that the breaker closes looks again."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._cursors: dict[str, tuple[bytes, int]] = {}  # by name: whence, and since when

    @property
    def has_work(self) -> bool:
        """Whether there is something to look at in the next turn."""
        return bool(self._cursors)

    def begin(self, name: str, now: int) -> None:
        """Replay those of a name that are dead by now, as often as their policy says."""
        if self._owned.tables.counts.dead:
            self._cursors[name] = b"", now

    def release(self, settlement: Settlement, now: int) -> None:
        """Look at some entries of the open table."""
        for name, (start, since) in list(self._cursors.items()):
            end = self._look(name, start, since, settlement, now)
            if end is None:
                del self._cursors[name]
            else:
                self._cursors[name] = end, since

    def _look(
        self, name: str, start: bytes, since: int, settlement: Settlement, now: int
    ) -> bytes | None:
        """Look on from a row; where to go on, or None at the end."""
        rows = self._owned.tables.store.scan(OPEN, start, None)
        for seen, (state_key, _) in enumerate(rows):
            if seen == LOOKED_AT:
                return state_key
            if read_state_key(state_key)[0] == name:
                self._revive(state_key, since, settlement, now)
        return None

    def _revive(self, state_key: bytes, since: int, settlement: Settlement, now: int) -> None:
        owned = self._owned
        if state_key in settlement.opens or state_key in settlement.closes:
            return  # it has just been decided otherwise
        entry = owned.entry(state_key, settlement)
        if entry is None or entry.state is not State.DEAD or entry.letter_pending:
            return
        policy = policy_of(owned.registry.by_name(entry.job.name))
        is_meant = entry.failed_at <= since and entry.generation < policy.replays
        if policy.when_breaker_closes and is_meant:
            replay_dead(owned, entry, settlement, now, is_repeated=False)

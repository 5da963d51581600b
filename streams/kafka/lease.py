"""For how long this worker may write: from the sending of its last heartbeat that was answered.

A worker that was frozen or cut off does not know that its partitions went to others. The broker
lets that happen no sooner than a session timeout after a heartbeat reached it; so writing stops
some seconds before that, counted from when the heartbeat was *sent*.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import NodeNotReadyError, UnknownMemberIdError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

MARGIN: Final = 4.0  # seconds before the session would end
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds; it goes on while the machine is suspended, where the system can tell."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Renewed by the consumer's thread, asked by whatever writes; `session` in seconds."""

    def __init__(self, session: float) -> None:
        self._length = max(session - MARGIN, session / 4)
        self._until = 0.0
        self._is_member = False  # the last heartbeat was answered so
        self._was_replaced = False
        # Both are called in the consumer's thread.
        self.on_regained: Callable[[], None] = lambda: None
        self.on_replaced: Callable[[], None] = lambda: None

    def renew(self, sent: float) -> None:
        """Something that was sent at this time showed that we are a member of our generation."""
        was_over = not self.is_held
        self._until = max(self._until, sent + self._length)
        if was_over and self.is_held:
            self.on_regained()

    @property
    def remaining(self) -> float:
        """Seconds; 0 when it is over."""
        return max(0.0, self._until - now())

    @property
    def is_held(self) -> bool:
        """Whether this worker may write."""
        return now() < self._until

    def watch(self, coordinator: Any) -> None:
        """Renew with each answer of this group coordinator (aiokafka's) that proves membership.

        `RebalanceInProgress` does not: who does not rejoin in time is expelled without a word.

        A static member that is unknown all of a sudden was replaced by another one of its name,
        which has its partitions by now, without a rebalance and whatever the session. aiokafka
        would rejoin, and the two would take the name from each other for as long as both live.
        """
        send = coordinator._send_req
        is_static = coordinator._group_instance_id is not None

        async def send_and_renew(request: Any) -> Any:
            if self._was_replaced and isinstance(request, JoinGroupRequest):
                raise NodeNotReadyError("another member has taken the name of this one")
            sent = now()
            response = await send(request)
            if is_static and self._is_member and _says_unknown(request, response):
                self._be_replaced()
            if isinstance(request, HeartbeatRequest | SyncGroupRequest):
                self._is_member = response.error_code == 0
                if self._is_member:
                    self.renew(sent)
            return response

        coordinator._send_req = send_and_renew

    def _be_replaced(self) -> None:
        # One whose session ran out (the process was frozen, say) is unknown as well.
        if self.is_held and not self._was_replaced:
            self._was_replaced = True
            self._until = 0.0
            self.on_replaced()


def _says_unknown(request: Any, response: Any) -> bool:
    """Whether the coordinator does not know the member that asked."""
    if isinstance(request, HeartbeatRequest):
        codes = [response.error_code]
    elif isinstance(request, OffsetCommitRequest):
        codes = [code for _, partitions in response.topics for _, code in partitions]
    else:
        codes = []
    return UnknownMemberIdError.errno in codes

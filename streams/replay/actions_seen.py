"""What people did, as the topic of actions tells: each that began, and when it ended."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from streams.errors import UndecodableRecord
from streams.wire.actions import OperatorAction, decode_action

Told = tuple[OperatorAction, int | None]
"""An action, and when it ended (ms since the epoch); None: not yet, as far as is known."""


class ActionsSeen:
    """Takes records in their order; `most`: that many of the latest are kept."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._known: OrderedDict[str, Told] = OrderedDict()

    def take(self, value: bytes | None) -> None:
        """Note what one record says; others' are passed over."""
        try:
            self.note(decode_action(value or b""))
        except UndecodableRecord:
            return

    def note(self, action: OperatorAction) -> None:
        """Note that something began, or ended; what is noted twice is the same."""
        known = self._known.get(action.id)
        if not action.ended:
            if known is None:
                self._known[action.id] = action, None
        elif known is None:
            self._known[action.id] = action, action.at
        else:
            self._known[action.id] = replace(action, at=known[0].at), action.at
        while self._most is not None and len(self._known) > self._most:
            self._known.popitem(last=False)

    def latest(self) -> list[Told]:
        """All of them, the latest first."""
        return sorted(self._known.values(), key=lambda each: each[0].at, reverse=True)

    def get(self, id: str) -> Told | None:
        """One of them."""
        return self._known.get(id)

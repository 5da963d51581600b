"""What the log of asks says of all limits of the cluster: each reader finds the same. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from streams.worker.rate_windows import Window, decode_ask
from streams.worker.slot_shares import SlotShares, decode_slot_ask


class LimitLog:
    """Rates and slots by name, as of one position in the log."""

    def __init__(self) -> None:
        self.position = 0
        self._windows: dict[str, Window] = {}
        self._shares: dict[str, SlotShares] = {}

    def take(self, name: str, value: bytes | None, offset: int, at: int) -> int:
        """Take one record; how many starts or slots it gives to its sender."""
        self.position = offset + 1
        ask = decode_ask(value)
        if ask is not None:
            return self._windows.setdefault(name, Window()).give(ask, at)
        slot_ask = decode_slot_ask(value)
        if slot_ask is not None:
            return self._shares.setdefault(name, SlotShares()).take(slot_ask, at)
        return 0

    def free_at(self, name: str, most: int) -> int:
        """From which broker time on one more start can be given; 0: at once."""
        window = self._windows.get(name)
        return 0 if window is None else window.free_at(most)

    def allowed(self, name: str, by: str) -> int | None:
        """How many slots a worker may keep, since others wait; None: nobody does."""
        shares = self._shares.get(name)
        return None if shares is None else shares.allowed(by)

    def encode(self) -> bytes:
        """All of it, to go on from; what does not count any more is left out."""
        latest = max((window.now for window in self._windows.values()), default=0)
        windows = {
            name: window.encode()
            for name, window in self._windows.items()
            if window.given and window.given[-1][0] > latest
        }
        shares = {name: shares.encode() for name, shares in self._shares.items()}
        return orjson.dumps({"position": self.position, "windows": windows, "shares": shares})

    @classmethod
    def decode(cls, value: bytes | None) -> LimitLog:
        """What `encode` wrote; what can't be read is nothing: then all asks are read."""
        read = cls()
        try:
            told: dict[str, Any] = orjson.loads(value or b"")
            for name, window in told["windows"].items():
                read._windows[str(name)] = Window.decode(window)
            for name, shares in told.get("shares", {}).items():
                read._shares[str(name)] = SlotShares.decode(shares)
            read.position = int(told["position"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()
        return read

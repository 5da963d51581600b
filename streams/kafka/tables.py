"""Faust's tables, of which there are none: nobody waits for any."""

from __future__ import annotations

from faust.tables import TableManager


class NoTables(TableManager):
    """Faust gives tables a second to come, and joins its group only then."""

    async def on_start(self) -> None:
        """What Faust does after that second."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

"""What SIGTERM and SIGINT do to a worker: the first drains it, a second ends it at once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

import faust

from streams.durations import to_ms
from streams.settings import SUPERVISED

logger = logging.getLogger(__name__)

AFTER_GRACE = 15.0  # seconds for settling, leaving the group and closing
LAST_WORD = 0.1  # seconds for connections that were closed last; Faust's own takes one


class JobsWorker(faust.Worker):
    """Faust's worker, with an end that nothing can hold up.

    At every moment a kill loses nothing: what is not settled runs again elsewhere.
    """

    _stops = False

    def _on_sigint(self) -> None:
        self._stop_by(signal.SIGINT)

    def _on_sigterm(self) -> None:
        self._stop_by(signal.SIGTERM)

    def _stop_by(self, number: signal.Signals) -> None:
        if self._stops and SUPERVISED in os.environ:
            return  # whoever stops the whole service signals both of us; it kills us in the end
        if self._stops:
            logger.warning("a second signal: ending at once; what runs is run again elsewhere")
            end_now(128 + number)
        self._stops = True
        grace = to_ms(self.app.streams_settings.grace) / 1000
        logger.info("stopping: running jobs have %.0f s; a second signal ends at once", grace)
        end_late(grace)
        self._flag_as_shutdown_by_signal()
        self._schedule_shutdown(number)

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(LAST_WORD)


def end_late(grace: float) -> None:
    """End the process in any case, some time after the grace period (in seconds) is over."""
    # A thread, since what hangs may be the loop itself.
    timer = threading.Timer(grace + AFTER_GRACE, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    logger.error("the worker could not be stopped in time: ending it; what runs is run again")
    end_now(1)


def end_now(code: int) -> None:
    """End the process with this exit code; what runs is run again elsewhere."""
    logging.shutdown()
    os._exit(code)

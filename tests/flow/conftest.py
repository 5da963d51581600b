"""What ends with each test of a journey."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from steps import clusters


@pytest.fixture
async def all_ends() -> AsyncIterator[None]:
    """Crash the workers of a test, and let go of what they had in hand."""
    clusters.clear()
    yield
    for cluster in clusters:
        for worker in list(cluster.workers):
            await cluster.kill(worker)
    clusters.clear()

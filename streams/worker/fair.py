"""Jobs of one definition that wait for slots, by tenant: each tenant has its turn. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import orjson

from streams.worker.attempt import Attempt
from streams.worker.limit import Limit

NEAR: Final = 100  # jobs of a tenant that wait in memory; the others do so in the open table
_SHOWN: Final = 200  # characters of a tenant


@dataclass(slots=True, eq=False)
class Share(Limit):
    """The jobs of one tenant: so many wait near that it never has to wait for more of them."""

    @property
    def is_full(self) -> bool:
        return False

    @property
    def near(self) -> int:
        # With very many tenants each has fewer, or they would fill what a partition may hold.
        return NEAR if self.group is None else min(NEAR, max(1, self.group.left // 4))

    @property
    def reach(self) -> int:
        return self.near


class Fair:
    """Stands in line once for each of its jobs; when that is its turn, the next tenant has it."""

    def __init__(self, queue: str, field: str) -> None:
        self.queue = queue
        self._field = field
        self._tenants: OrderedDict[str, Share] = OrderedDict()  # in the order of their turns

    def __bool__(self) -> bool:
        """Whether any job waits: one may have been cancelled meanwhile."""
        return bool(self._tenants)

    def tenant_of(self, attempt: Attempt) -> str:
        """What its payload says; jobs without the field are one tenant."""
        try:
            value = orjson.loads(attempt.envelope.payload).get(self._field)
        except (ValueError, AttributeError):
            value = None  # its handler will say what is wrong with it
        return str(value)[:_SHOWN]

    def add(self, attempt: Attempt, tenant: str, share: Share) -> None:
        """Let a job wait."""
        share.hold(attempt)
        self._tenants.setdefault(tenant, share)

    def first(self) -> Attempt:
        """Whose turn it is; there is one."""
        waiting = next(iter(self._tenants.values())).held[0]
        assert isinstance(waiting, Attempt)
        return waiting

    def next(self) -> tuple[Attempt, Share]:
        """Whose turn it is, which waits no more; its tenant's next turn comes after all others'."""
        tenant, share = self._tenants.popitem(last=False)
        attempt = share.let_go()
        assert isinstance(attempt, Attempt)
        if share.held:
            self._tenants[tenant] = share
        return attempt, share

    def remove(self, attempt: Attempt) -> Share | None:
        """A job waits no more; its tenant, None if it did not wait."""
        tenant = self.tenant_of(attempt)
        share = self._tenants.get(tenant)
        if share is None or attempt.held_by is not share:
            return None
        share.remove(attempt)
        if not share.held:
            del self._tenants[tenant]
        return share

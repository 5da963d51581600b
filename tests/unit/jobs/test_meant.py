"""A name that is not found is answered with the one that was meant, if there is one like it."""

from __future__ import annotations

import pytest

from streams import Event, JobPayload, job
from streams.jobs.discovery import handlers_among
from streams.jobs.meant import advice, meant_by, no_job
from streams.jobs.registry import Registry

KNOWN = ["shop.handlers.remind", "shop.reports.sync", "stock.sync", "invoice.send", "mail"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("remind", ["shop.handlers.remind"]),
        ("handlers.remind", ["shop.handlers.remind"]),
        ("Remind", ["shop.handlers.remind"]),
        ("sync", ["shop.reports.sync", "stock.sync"]),
        ("reports.sync", ["shop.reports.sync"]),
        ("invoices.send", ["invoice.send"]),
        ("invoice-send", ["invoice.send"]),
        ("remnid", ["shop.handlers.remind"]),
        ("mial", []),  # as like to other words of four letters
        ("ind", []),  # the end of a word is no name
        ("charge", []),
        ("", []),
    ],
)
def test_a_short_name_or_a_slip(name: str, meant: list[str]) -> None:
    assert meant_by(name, KNOWN) == meant


def test_what_is_like_none_is_told_all() -> None:
    assert advice("remind", KNOWN) == "did you mean shop.handlers.remind?"
    assert advice("sync", KNOWN) == "did you mean shop.reports.sync or stock.sync?"
    assert advice("charge", ["b", "a"]) == "names are: a, b"
    assert advice("charge", [], else_="there are") == "there are: none"


class Ordered(Event, type="shop.ordered"):
    order: int


class Bill(JobPayload, name="invoices.bill"):
    account: int


@job
async def bill(payload: Bill) -> None: ...


@job(name="shop.ship")
async def ship(event: Ordered) -> None: ...


def test_why_no_job_of_a_name_can_be_enqueued() -> None:
    registry = Registry.build(handlers_among([bill, ship]), ("default",))
    assert no_job(registry, "bill") == (
        "no handler takes jobs named 'bill'; did you mean invoices.bill?"
    )
    assert no_job(registry, "x") == "no handler takes jobs named 'x'; names are: invoices.bill"
    assert no_job(registry, "shop.ship") == "shop.ship is started by events of type shop.ordered"

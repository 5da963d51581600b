"""`streams doctor`: what is wrong with this machine and its broker, and what to do about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

from streams.cli import exits
from streams.cli.output import JSON, print_json, print_table

if TYPE_CHECKING:
    from streams.settings import Settings

SKEW_MAX_MS: Final = 500.0
"""More than this is not what machines have that keep their time by NTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look showed."""

    check: str
    is_well: bool
    found: str
    remedy: str = ""
    value: float | None = None  # a figure, in the unit that `found` says


def doctor(as_json: bool = JSON) -> None:
    """Look at the broker, the topics and the clock; exit code 1 if one of them is not well."""
    findings = asyncio.run(_examine())
    if as_json:
        print_json(
            [
                {
                    "check": each.check,
                    "ok": each.is_well,
                    "found": each.found,
                    "value": each.value,
                    "remedy": each.remedy or None,
                }
                for each in findings
            ]
        )
    else:
        print_table(
            ("check", "", "found", "remedy"),
            [
                (each.check, "ok" if each.is_well else "NOT WELL", each.found, each.remedy)
                for each in findings
            ],
        )
    if not all(each.is_well for each in findings):
        raise typer.Exit(exits.NEGATIVE)


async def _examine() -> list[Finding]:
    from streams.settings import Settings
    from streams.wire.admin import open_admin

    settings = Settings()
    async with open_admin(settings.bootstrap_servers) as admin:
        brokers = (await admin.describe_cluster())["brokers"]
    topics = await _topics(settings)
    clock = await _clock(settings) if topics.is_well else _unknown_clock()
    found = f"{len(brokers)} at {settings.bootstrap_servers}"
    return [Finding(check="broker", is_well=True, found=found), topics, clock]


async def _topics(settings: Settings) -> Finding:
    from streams.cli.topics import changes
    from streams.wire.admin import Verdict

    wrong = [each for each in await changes(apply=False) if each.verdict is not Verdict.OK]
    if not wrong:
        return Finding(check="topics", is_well=True, found="all as they should be")
    names = ", ".join(each.spec.name for each in wrong[:3])
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return Finding(
        check="topics",
        is_well=False,
        found=f"{len(wrong)} are missing or differ: {names}{more}",
        remedy="see `streams topics plan`, then `streams topics apply`",
    )


async def _clock(settings: Settings) -> Finding:
    from streams.wire.producer import close_producer, open_producer
    from streams.wire.skew import measure_skew
    from streams.wire.topics import TopicNames

    producer = await open_producer(settings.bootstrap_servers, "streams-doctor")
    try:
        skew = await measure_skew(producer, TopicNames(settings.prefix).limits)
    finally:
        await close_producer(producer)
    side = "ahead of" if skew.ahead_ms > 0 else "behind"
    is_well = abs(skew.ahead_ms) - skew.within_ms <= SKEW_MAX_MS
    return Finding(
        check="clock",
        is_well=is_well,
        found=(
            f"{abs(skew.ahead_ms):,.1f} ms {side} the broker's, give or take "
            f"{skew.within_ms:,.1f} ms"
        ),
        remedy=""
        if is_well
        else (
            "keep both machines' time by NTP (chrony, systemd-timesyncd): delayed jobs and "
            "schedules are early or late by as much"
        ),
        value=round(skew.ahead_ms, 1),
    )


def _unknown_clock() -> Finding:
    return Finding(
        check="clock",
        is_well=False,
        found="not compared: that needs the topics",
        remedy="`streams topics apply`",
    )

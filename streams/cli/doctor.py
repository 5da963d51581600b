"""`streams doctor`: what is wrong with this machine and its broker, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import typer

from streams.cli import exits
from streams.cli.doctor_here import (
    look_at_disk,
    look_at_handlers,
    look_at_objects,
    look_at_settings,
)
from streams.cli.finding import Finding
from streams.cli.output import JSON, print_json, print_table

if TYPE_CHECKING:
    from streams.settings import Settings

SKEW_MAX_MS: Final = 500.0
"""More than this is not what machines have that keep their time by NTP."""


def doctor(as_json: bool = JSON) -> None:
    """Look at settings, handlers, disk, object storage, broker, topics and clock.

    Exit code 1 if one of them is not well, 4 if no broker answers.
    """
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
    if any(each.check == "broker" and not each.is_well for each in findings):
        raise typer.Exit(exits.NO_BROKER)
    if not all(each.is_well for each in findings):
        raise typer.Exit(exits.NEGATIVE)


async def _examine() -> list[Finding]:
    settings, of_settings = look_at_settings(os.environ)
    if settings is None:
        return [of_settings]
    registry, of_handlers = look_at_handlers(settings)
    here = [of_settings, of_handlers, look_at_disk(settings), await look_at_objects(settings)]
    broker = await _broker(settings)
    if not broker.is_well:
        why = "not compared: that needs the broker"
        return [*here, broker, _unknown("topics", why), _unknown("clock", why)]
    if registry is None:
        topics = _unknown("topics", "not compared: that needs the handlers")
    else:
        topics = await _topics()
    if not topics.is_well:
        return [*here, broker, topics, _unknown("clock", "not compared: that needs the topics")]
    return [*here, broker, topics, await _clock(settings)]


async def _broker(settings: Settings) -> Finding:
    from streams.errors import BrokerUnavailable
    from streams.wire.admin import open_admin

    try:
        async with open_admin(settings.bootstrap_servers) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
    except BrokerUnavailable as error:
        return Finding(
            check="broker",
            is_well=False,
            found=str(error),
            remedy="start it, or correct KAFKA_BOOTSTRAP_SERVERS",
        )
    found = f"{len(brokers)} at {settings.bootstrap_servers}"
    return Finding(check="broker", is_well=True, found=found, value=len(brokers))


async def _topics() -> Finding:
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


def _unknown(check: str, why: str) -> Finding:
    return Finding(check=check, is_well=False, found=why, remedy="mend that first")

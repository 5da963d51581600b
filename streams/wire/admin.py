"""Topics on the broker, compared with what we need, and made so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from streams.errors import BrokerUnavailable, TopicMismatch
from streams.wire.lookup import look_up
from streams.wire.topics import TopicSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka.admin import AIOKafkaAdminClient

log = logging.getLogger(__name__)

_EXISTS_ALREADY: Final = 36
_VISIBLE_S: Final = 10.0


class Verdict(StrEnum):
    """What is to be done about a topic."""

    OK = "ok"
    CREATE = "create"
    ALTER = "alter"  # settings that can be changed under running workers
    MISMATCH = "mismatch"  # cannot be changed without a decision


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicChange:
    """One topic: what was found, and what is to be done."""

    spec: TopicSpec
    verdict: Verdict
    found: str = ""
    wanted: str = ""
    remedy: str = ""
    current: Mapping[str, str] | None = None  # settings made for this topic, if it exists

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return f"{self.spec.name}: ok"
        if self.verdict is Verdict.CREATE:
            return f"{self.spec.name}: missing; wanted {self.wanted}"
        return f"{self.spec.name}: found {self.found}; wanted {self.wanted}. {self.remedy}"


@asynccontextmanager
async def open_admin(
    bootstrap: str | Sequence[str],
    *,
    timeout_ms: int = 10_000,
    kafka: Mapping[str, Any] | None = None,
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
    """
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    servers = bootstrap if isinstance(bootstrap, str) else list(bootstrap)
    admin = AIOKafkaAdminClient(
        bootstrap_servers=servers, request_timeout_ms=timeout_ms, **(kafka or {})
    )
    try:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await admin.start()
        except (TimeoutError, KafkaError, OSError) as error:
            raise BrokerUnavailable(
                f"no Kafka broker answered at {bootstrap} within {timeout_ms} ms ({error}): "
                "is it running, and is the address right?"
            ) from error
        yield admin
    finally:
        await admin.close()


async def plan_topics(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicChange]:
    """What `apply_topics` would do for each of `specs`; changes nothing."""
    found = await look_up(admin, [spec.name for spec in specs])
    there = [spec for spec in specs if spec.name in found]
    configs = await _configs(admin, [spec.name for spec in there if spec.config])
    return [
        _compare(spec, len(found[spec.name]), *configs.get(spec.name, ({}, {})))
        if spec.name in found
        else TopicChange(
            spec=spec,
            verdict=Verdict.CREATE,
            found="nothing",
            wanted=f"{spec.partitions} partition(s), {_show(spec.config)}",
            remedy="`streams topics apply` creates it",
        )
        for spec in specs
    ]


async def apply_topics(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicChange]:
    """Create what is missing and set what can be set; the plan that was carried out.

    Raises:
        TopicMismatch: naming every topic with another number of partitions or another
            cleanup.policy. Then nothing was changed.
    """
    plan = await plan_topics(admin, specs)
    _refuse_mismatches(plan)
    missing = [change.spec for change in plan if change.verdict is Verdict.CREATE]
    if missing:
        raced = await _create(admin, missing)
        await _wait_until_visible(admin, missing)
        if raced:
            # Someone else was quicker: what they made has to be ours as well.
            _refuse_mismatches(await plan_topics(admin, raced))
    altered = [change for change in plan if change.verdict is Verdict.ALTER]
    if altered:
        await _alter(admin, altered)
    return plan


def _refuse_mismatches(plan: Sequence[TopicChange]) -> None:
    wrong = [change for change in plan if change.verdict is Verdict.MISMATCH]
    if wrong:
        raise TopicMismatch("\n".join(str(change) for change in wrong))


def _compare(
    spec: TopicSpec, partitions: int, config: Mapping[str, str], current: Mapping[str, str]
) -> TopicChange:
    found: list[str] = []
    wanted: list[str] = []
    remedies: list[str] = []
    verdict = Verdict.OK
    if partitions != spec.partitions and not spec.any_partitions:
        verdict = Verdict.MISMATCH
        found.append(f"{partitions} partition(s)")
        wanted.append(f"{spec.partitions} partition(s)")
        remedies.append(
            f"Set STREAMS_PARTITIONS={partitions}, as the number is fixed for the life of a "
            "prefix, or move to a new STREAMS_PREFIX"
            if spec.partitions != 1
            else "It must have one partition: move to a new STREAMS_PREFIX"
        )
    for name, value in spec.config.items():
        if name == "cleanup.policy":
            if _policies(config.get(name, "")) == _policies(value):
                continue
            verdict = Verdict.MISMATCH
            remedies.append(
                "Make sure that nothing else uses the topic, then run kafka-configs.sh --alter "
                f"--entity-type topics --entity-name {spec.name} "
                f"--add-config {name}=[{value}]"
            )
        elif config.get(name) == value:
            continue
        elif verdict is Verdict.OK:
            verdict = Verdict.ALTER
        found.append(f"{name}={config.get(name)}")
        wanted.append(f"{name}={value}")
    if verdict is Verdict.ALTER:
        remedies.append("`streams topics apply` sets it")
    return TopicChange(
        spec=spec,
        verdict=verdict,
        found=", ".join(found),
        wanted=", ".join(wanted),
        remedy="; ".join(remedies),
        current=current,
    )


def _policies(value: str) -> frozenset[str]:
    return frozenset(part.strip() for part in value.split(",") if part.strip())


def _show(config: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items()) or "the broker's defaults"


async def _configs(
    admin: AIOKafkaAdminClient, topics: Sequence[str]
) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """For each topic: the settings in effect, and those made for this topic alone."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    if not topics:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    answers = await admin.describe_configs(resources)
    configs: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    for answer in answers:
        for error, message, _kind, name, entries in answer.resources:
            if error:
                raise TopicMismatch(f"{name}: its settings cannot be read: {message}")
            configs[name] = (
                {entry[0]: entry[1] for entry in entries},
                {
                    entry[0]: entry[1]
                    for entry in entries
                    if _is_own(entry) and entry[1] is not None
                },
            )
    return configs


def _is_own(entry: Sequence[Any]) -> bool:
    # (name, value, read_only, source or is_default, sensitive, ...): source 1 is the topic itself;
    # version 0 of the answer has is_default in its place.
    source = entry[3]
    return not source if isinstance(source, bool) else source == 1


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicSpec]:
    """Create topics; those that another worker created in the meantime."""
    from aiokafka.admin import NewTopic
    from aiokafka.errors import for_code

    answer = await admin.create_topics(
        [
            NewTopic(
                name=spec.name,
                num_partitions=spec.partitions,
                replication_factor=spec.replication,
                topic_configs=spec.config,
            )
            for spec in specs
        ]
    )
    outcome = {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in answer.topic_errors}
    failed = [
        f"{name}: could not be created: {for_code(code).__name__} {message or ''}".rstrip()
        for name, (code, message) in outcome.items()
        if code not in (0, _EXISTS_ALREADY)
    ]
    if failed:
        raise TopicMismatch("\n".join(failed))
    return [spec for spec in specs if outcome.get(spec.name, (0, ""))[0] == _EXISTS_ALREADY]


async def _wait_until_visible(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Until every topic has a leader for each partition."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _VISIBLE_S
    names = {spec.name for spec in specs}
    while True:
        found = await look_up(admin, names)
        ready = {
            name
            for name, partitions in found.items()
            if all(partition["leader"] >= 0 for partition in partitions)
        }
        if names <= ready:
            return
        if loop.time() > until:
            log.warning("topics without a leader yet: %s", ", ".join(sorted(names - ready)))
            return
        await asyncio.sleep(0.05)


async def _alter(admin: AIOKafkaAdminClient, changes: Sequence[TopicChange]) -> None:
    """Set our settings, and repeat the others: this request replaces all that a topic has."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
    from aiokafka.errors import for_code

    answers = await admin.alter_configs(
        [
            ConfigResource(
                ConfigResourceType.TOPIC,
                change.spec.name,
                {**(change.current or {}), **change.spec.config},
            )
            for change in changes
        ]
    )
    failed = [
        f"{name}: could not be altered: {for_code(error).__name__} {message or ''}".rstrip()
        for answer in answers
        for error, message, _kind, name in answer.resources
        if error
    ]
    if failed:
        raise TopicMismatch("\n".join(failed))

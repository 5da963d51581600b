"""The producer: acknowledged by all in-sync replicas, idempotent, and never silent for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from streams.errors import BrokerUnavailable, PayloadTooLarge, TopicMismatch
from streams.wire.topics import MAX_RECORD_BYTES
from streams.wire.unhurried import unhurried

Headers = Sequence[tuple[str, bytes | None]]  # a foreign one may have no value

_BATCH_BYTES: Final = 256 * 1024
_START_BACKOFF_S: Final = 0.25
_TOPIC_WAIT_S: Final = 1.0  # a topic that was just created is not known to every broker yet
_CLOSE_S: Final = 2.0


def new_producer(
    bootstrap: str | Sequence[str],
    client_id: str,
    *,
    timeout_ms: int = 10_000,
    **kafka: Any,
) -> AIOKafkaProducer:
    """A producer that is not started yet; `kafka` passes TLS and SASL arguments on to aiokafka."""
    arguments: dict[str, Any] = {
        "max_batch_size": _BATCH_BYTES,
        "max_request_size": MAX_RECORD_BYTES,
        "request_timeout_ms": max(1_000, timeout_ms),
        **kafka,
        "acks": "all",
        "enable_idempotence": True,
    }
    servers = bootstrap if isinstance(bootstrap, str) else list(bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=servers, client_id=client_id, **arguments)
    unhurried(producer.client)
    return producer


async def open_producer(
    bootstrap: str | Sequence[str],
    client_id: str,
    *,
    timeout_ms: int = 10_000,
    **kafka: Any,
) -> AIOKafkaProducer:
    """A started producer; tries again until the broker answers or `timeout_ms` is over.

    Raises:
        BrokerUnavailable: no broker answered in time.
    """
    last: BaseException | None = None
    producer = new_producer(bootstrap, client_id, timeout_ms=timeout_ms, **kafka)
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            with _QuietBootstrap():
                while True:
                    try:
                        await producer.start()
                    except (KafkaError, OSError) as error:
                        last = error
                        await asyncio.sleep(_START_BACKOFF_S)
                    else:
                        return producer
    except TimeoutError:
        await abandon_producer(producer)
        raise BrokerUnavailable(
            f"no Kafka broker answered at {bootstrap} within {timeout_ms} ms"
            f"{f' ({last})' if last else ''}: is it running, and is the address right?"
        ) from last
    except BaseException:
        await abandon_producer(producer)
        raise


class _QuietBootstrap:
    """aiokafka logs an error for each refused connection; we raise one error at the end instead."""

    def __enter__(self) -> None:
        logging.getLogger("aiokafka.client").addFilter(self._pass)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("aiokafka.client").removeFilter(self._pass)

    @staticmethod
    def _pass(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Unable connect to")


async def send(
    producer: AIOKafkaProducer,
    topic: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Headers = (),
    partition: int | None = None,
    timestamp_ms: int | None = None,
    timeout_ms: int = 10_000,
    job_id: str | None = None,
) -> int:
    """Write one record; its offset once all in-sync replicas have it.

    Raises:
        BrokerUnavailable: no answer in time. The record may have been written, or may yet be.
        PayloadTooLarge: the topic refuses a record of this size.
    """
    try:
        # An idempotent send never gives up by itself, so the clock is ours.
        async with asyncio.timeout(timeout_ms / 1000):
            metadata = await producer.send_and_wait(
                topic, value, key, partition, timestamp_ms, list(headers)
            )
            return int(metadata.offset)
    except (TimeoutError, KafkaError) as error:
        raise refusal(error, topic, len(value or b""), timeout_ms, job_id) from error


class Sent(NamedTuple):
    """A record to write, and where."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


async def send_all(
    producer: AIOKafkaProducer, records: Sequence[Sent], *, timeout_ms: int = 10_000
) -> None:
    """Write records, in this order within a partition, and wait for all of them at once.

    Raises:
        BrokerUnavailable: no answer in time. Some may have been written, or may yet be.
        PayloadTooLarge: a topic refuses a record of this size.
    """
    topic, size = "", 0
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            acknowledged = []
            for each in records:
                topic, size = each.topic, len(each.value or b"")
                acknowledged.append(
                    await producer.send(
                        topic, each.value, each.key, each.partition, None, list(each.headers)
                    )
                )
            await asyncio.gather(*acknowledged)
    except (TimeoutError, KafkaError) as error:
        raise refusal(error, topic, size, timeout_ms, None) from error


def refusal(
    error: BaseException, topic: str, size: int, timeout_ms: int, job_id: str | None
) -> BrokerUnavailable | PayloadTooLarge:
    """The error of ours for what went wrong with a send of `size` bytes."""
    if isinstance(error, MessageSizeTooLargeError):
        return PayloadTooLarge(
            f"topic {topic} refuses a record with a payload of {size} bytes: raise its "
            "max.message.bytes (`streams topics apply` does), or send a reference to the data",
            size=size,
        )
    what = f"no acknowledgement within {timeout_ms} ms"
    if isinstance(error, KafkaError):
        what = f"{type(error).__name__}: {error}"
    again = f"sending again with id {job_id!r} is safe" if job_id else "send it again"
    return BrokerUnavailable(
        f"{topic}: {what}. The outcome is unknown, the record may have been written; {again}",
        job_id=job_id,
    )


def known_partitions(producer: AIOKafkaProducer, topic: str) -> int:
    """How many partitions `topic` has, as far as the producer knows; 0: it does not know it."""
    return len(producer.client.cluster.partitions_for_topic(topic) or ())


async def partitions_for(producer: AIOKafkaProducer, topic: str) -> int:
    """How many partitions `topic` has; never creates it, whatever the broker would do.

    Raises:
        TopicMismatch: there is no such topic.
    """
    if known := known_partitions(producer, topic):
        return known
    loop = asyncio.get_running_loop()
    until = loop.time() + _TOPIC_WAIT_S
    while not await _exists(producer, topic):
        if loop.time() > until:
            raise TopicMismatch(
                f"topic {topic} does not exist: create it with `streams topics apply`, "
                "or correct the queue, the event type or the prefix"
            )
        await asyncio.sleep(0.1)
    return len(await producer.partitions_for(topic))


async def _exists(producer: AIOKafkaProducer, topic: str) -> bool:
    client = producer.client
    # Asked in this way, since every other question of aiokafka's lets the broker create the topic.
    request = MetadataRequest([topic], allow_auto_topic_creation=False)
    while True:
        node = client.get_random_node()
        try:
            response = await client.send(node, request)
        except (KafkaError, OSError):
            await asyncio.sleep(0.1)
            continue
        code = response.topics[0][0]
        if code == 0:
            return True
        error = for_code(code)
        if not error.retriable and error.__name__ != "UnknownTopicOrPartitionError":
            raise error(topic)
        return False


def is_broken(producer: AIOKafkaProducer) -> bool:
    """Whether the producer's sender has ended, after which it never sends again."""
    task = producer._sender.sender_task
    return task is None or task.done()


async def close_producer(producer: AIOKafkaProducer, timeout_ms: int = 10_000) -> None:
    """Send what is buffered, for `timeout_ms` at most, then close."""
    if not is_broken(producer):
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await producer.flush()
                await producer.stop()
                return
        except (TimeoutError, KafkaError):
            pass
    await abandon_producer(producer)


async def abandon_producer(producer: AIOKafkaProducer) -> None:
    """Close without waiting for what is buffered."""
    producer._closed = True  # else aiokafka waits for the buffer, however long that takes
    for closing in (producer._sender.close, producer.client.close):
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_S):
                await closing()

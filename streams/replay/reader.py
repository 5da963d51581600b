"""Whole topics, read by a consumer of one's own: up to their end as it is now, or ever on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable
from streams.wire.envelope import Record
from streams.wire.producer import QUIET_BOOTSTRAP

_POLL_MS: Final = 200
_CLOSE_S: Final = 2.0
_SILENCE_S: Final = 10.0

"""The local broker: it answers, it keeps records, and nothing of it outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.dev import broker as module
from streams.dev.broker import LocalBroker
from streams.errors import BrokerUnavailable

PARENT = """
import sys, time
from pathlib import Path
from streams.dev.broker import LocalBroker
broker = LocalBroker(Path(sys.argv[1]), heap="256m")
broker.start()
print(broker.pid, flush=True)
time.sleep(600)
"""


async def test_a_record_comes_back_as_it_was_sent(kafka: str, prefix: str) -> None:
    topic = f"{prefix}records"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 2, 1)])
    finally:
        await admin.close()

    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        await producer.send_and_wait(
            topic, b"value", key=b"key", partition=1, headers=[("h", b"1")]
        )

    async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 1)])
        record = await consumer.getone()
    assert (record.key, record.value, record.headers) == (b"key", b"value", (("h", b"1"),))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the child on Linux alone")
def test_a_killed_parent_leaves_no_broker(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "broker")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        broker = os.pidfd_open(int(parent.stdout.readline()))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
    try:
        ended, _, _ = select.select([broker], [], [], 30)  # readable once the process has ended
        assert ended, "the broker outlived its parent"
    finally:
        os.close(broker)


def test_what_it_said_last_is_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROPERTIES", module._PROPERTIES + "node.id=not a number\n")

    with pytest.raises(BrokerUnavailable, match="not a number"):
        LocalBroker(tmp_path / "broker").start()


def test_a_restart_finds_the_data_it_left(tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path / "broker", heap="256m")
    with broker:
        first = (tmp_path / "broker" / "data" / "meta.properties").read_text()
    with broker:
        again = (tmp_path / "broker" / "data" / "meta.properties").read_text()

    assert broker.pid is None
    assert first == again  # started anew on the data it had, not formatted again


def test_the_address_stays_unless_somebody_else_has_it(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    port, controller = module._free_ports(2)
    properties.write_text(module._PROPERTIES.format(port=port, controller=controller, data="x"))

    assert module._ports_of(properties) == (port, controller)
    assert module._ports_of(tmp_path / "none") is None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert module._ports_of(properties) is None

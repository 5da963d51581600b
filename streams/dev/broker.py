"""A real Apache Kafka on this machine: one process, free ports, data in a folder of ours."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from streams.dev.children import end, spawn
from streams.dev.kafka_runtime import kafka_runtime
from streams.errors import BrokerUnavailable

START_TIMEOUT = 60.0  # seconds

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=2097152
log.cleaner.dedupe.buffer.size=4194304
log.segment.delete.delay.ms=1000
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
"""

_LISTENERS = re.compile(
    r"^listeners=PLAINTEXT://127.0.0.1:(\d+),CONTROLLER://127.0.0.1:(\d+)$", re.M
)
_JVM = (
    "-XX:TieredStopAtLevel=1",  # starts a third faster; a broker for development is not busy
    "-XX:+UseSerialGC",
)


class LocalBroker:
    """Starts, health-checks and stops one broker; use it as a context manager.

    `properties` are settings of Kafka's which take the place of those here.
    """

    def __init__(
        self, data_dir: Path, *, heap: str = "512m", properties: Mapping[str, str] | None = None
    ) -> None:
        self._dir = data_dir.absolute()
        self._heap = heap
        self._more = properties or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The broker's process, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> str:
        """Start and wait until it answers; returns the bootstrap address.

        Raises:
            BrokerUnavailable: it did not come up; the message ends with what it logged last.
        """
        java, class_path = kafka_runtime()
        self._dir.mkdir(parents=True, exist_ok=True)
        properties = self._dir / "server.properties"
        # The same again, so that what was told its address finds it after a restart.
        port, controller = _ports_of(properties) or _free_ports(2)
        properties.write_text(
            _PROPERTIES.format(port=port, controller=controller, data=self._dir / "data")
            # Of two lines for one setting the last one holds.
            + "".join(f"{name}={value}\n" for name, value in self._more.items())
        )
        command = [
            java,
            f"-Xmx{self._heap}",
            *_JVM,
            f"-Dkafka.logs.dir={self._dir}",
            "-cp",
            class_path,
        ]
        log = self._dir / "broker.log"
        with log.open("ab") as output:
            if not (self._dir / "data" / "meta.properties").exists():
                formatted = spawn(
                    [
                        *command,
                        "kafka.tools.StorageTool",
                        "format",
                        "--standalone",
                        "-t",
                        _cluster_id(),
                        "-c",
                        str(properties),
                    ],
                    output=output,
                ).wait(START_TIMEOUT)
                if formatted:
                    raise BrokerUnavailable(f"formatting the broker's folder failed:\n{_tail(log)}")
            self._process = spawn([*command, "kafka.Kafka", str(properties)], output=output)
        self.bootstrap = f"127.0.0.1:{port}"
        self._wait_until_it_answers(port, log)
        return self.bootstrap

    def stop(self) -> None:
        """Stop the broker; its data stay."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def kill(self) -> None:
        """End the broker at once; it mends its data when it is started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait_until_it_answers(self, port: int, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if _answers(port):
                return
            time.sleep(0.05)
        self.stop()
        raise BrokerUnavailable(f"the broker did not come up; it said last:\n{_tail(log)}")


def _cluster_id() -> str:
    # Not base64: an id that begins with a hyphen is an option to the tool, and fails to format.
    return secrets.token_hex(11)


def _ports_of(properties: Path) -> tuple[int, int] | None:
    """The ports of an earlier start, unless somebody else has one of them now."""
    try:
        found = _LISTENERS.search(properties.read_text())
    except FileNotFoundError:
        return None
    if found is None or not all(map(_is_free, (ports := (int(found[1]), int(found[2]))))):
        return None
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        # As Kafka does: connections that are about to be forgotten do not hold the port.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _answers(port: int) -> bool:
    """Whether a broker answers an ApiVersions request (v0: key 18, correlation 1, no client)."""
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(len(request).to_bytes(4, "big") + request)
            answer = connection.recv(10)
    except OSError:
        return False
    return len(answer) == 10 and answer[4:8] == b"\x00\x00\x00\x01" and answer[8:] == b"\x00\x00"


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def main() -> None:
    """Run a broker in the foreground until Ctrl-C."""
    with LocalBroker(Path(".streams/broker")) as broker:
        print(broker.bootstrap, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            assert broker._process is not None
            broker._process.wait()


if __name__ == "__main__":
    main()

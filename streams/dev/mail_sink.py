"""A mail server for demo and tests: keeps what arrives, and refuses whom it is told to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from email import message_from_bytes
from email.message import Message
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

Listener = Callable[[str, int], None]


class MailSink:
    """Listens on loopback while it is entered; `on_answer` gets (address, code) of each answer.

    Needs the extra `dev`.
    """

    def __init__(self, *, port: int = 0, on_answer: Listener | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = port  # 0: a free one, known once started
        self._on_answer = on_answer
        self._messages: defaultdict[str, list[Message]] = defaultdict(list)
        self._once: defaultdict[str, list[int]] = defaultdict(list)
        self._refused: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._open: set[Any] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        from aiosmtpd.smtp import SMTP

        loop = asyncio.get_running_loop()

        class Session(SMTP):  # type: ignore[misc, unused-ignore]
            def connection_made(session, transport: Any) -> None:
                self._open.add(transport)
                super().connection_made(transport)

            def connection_lost(session, error: Exception | None) -> None:
                self._open.discard(session.transport)
                super().connection_lost(error)

        self._server = await loop.create_server(
            lambda: Session(self, hostname="sink.local", ident="mail sink", loop=loop),
            self.host,
            self.port,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close what is open; the messages stay."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for transport in list(self._open):
                transport.close()
            await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # What it is told

    def answer_once(self, address: str, code: int) -> None:
        """Refuse the next message for an address with `code`, and take those after it."""
        self._once[address].append(code)

    def refuse(self, address: str, code: int) -> None:
        """Refuse every message for an address until it is mended."""
        self._refused[address] = code

    def mend(self, address: str) -> None:
        """Take messages for an address again."""
        self._refused.pop(address, None)
        self._once.pop(address, None)

    # What it has seen

    @property
    def messages(self) -> Mapping[str, list[Message]]:
        """What arrived, by recipient, in order."""
        return self._messages

    async def received(self, address: str, count: int = 1) -> list[Message]:
        """The messages for an address, as soon as there are `count`."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._messages[address]) >= count)
        return list(self._messages[address])

    # What aiosmtpd asks

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer one recipient."""
        code = self._refused.get(address)
        if code is None and self._once.get(address):
            code = self._once[address].pop(0)
        if code is not None:
            self._tell(address, code)
            return f"{code} {'Try again later' if code < 500 else 'No such mailbox'}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message."""
        content = envelope.content
        message = message_from_bytes(content if isinstance(content, bytes) else b"")
        async with self._changed:
            for address in envelope.rcpt_tos:
                self._messages[address].append(message)
                self._tell(address, 250)
            self._changed.notify_all()
        return "250 OK"

    def _tell(self, address: str, code: int) -> None:
        if self._on_answer is not None:
            self._on_answer(address, code)

"""The demo: three people sign up on a real Kafka, and every way that a job can go is seen."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.markup import escape

from streams.client import JobClient
from streams.dev.broker import LocalBroker
from streams.dev.children import end
from streams.dev.console import console_port, may_start, start_console
from streams.dev.demo_evidence import Evidence, Letter, News, Part, Person, Queued
from streams.dev.mail_sink import MailSink
from streams.dev.ports import free_port
from streams.dev.worker import start_worker
from streams.errors import StreamsError
from streams.jobs.discovery import load_handlers
from streams.jobs.identity import fan_out_id, new_id
from streams.jobs.registry import Registry
from streams.jobs.states import State
from streams.replay.actions import Replaying
from streams.replay.dead_topic import open_dead_topic
from streams.replay.letter_filter import LetterFilter
from streams.replay.resolving import resolve
from streams.settings import Settings
from streams.wire.admin import open_admin
from streams.wire.reader import TopicReader, open_reader, partition_counts
from streams.wire.state import LedgerRecord, OpenEntry
from streams.wire.topics import TopicNames, specs

Break = Literal["smtp", "timer", "replay"]

_EVENT: Final = "user.signed_up"
_JOB: Final = "agents.email.send_welcome_email"
_SOURCE: Final = "demo"
_QUIET_S: Final = 1.0  # watched on after the end, for what comes twice


class Demo:
    """One run; `run` tells whether everything was seen."""

    def __init__(
        self,
        console: Console,
        bootstrap: str,
        folder: Path,
        *,
        prefix: str = "",
        broken: Break | None = None,
        timeout_s: float = 90.0,
    ) -> None:
        self._console = console
        self._bootstrap = bootstrap
        self._folder = folder
        self._prefix = prefix
        self._broken = broken
        self._timeout_s = timeout_s
        self._began = time.monotonic()
        self._names = TopicNames(prefix)
        self._sink = MailSink(on_answer=self._tell_answer)
        self._worker: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._replaying: asyncio.Task[None] | None = None
        self._evidence = Evidence(self._names, "critical", _people())
        self._web_port = free_port()
        self._page: subprocess.Popen[bytes] | None = None  # the console's process
        self._page_port = console_port()

    # -- its life ------------------------------------------------------------------------------

    async def run(self, *, stay: bool) -> bool:
        """Play, watch, judge; then stay until cancelled if asked to."""
        try:
            await self._sink.start()
            self._start_worker()
            topics = await self._wait_for_topics()
            self._start_page()
            async with open_reader(self._bootstrap, topics) as reader:
                await self._sign_up()
                missing = await self._watch(reader)
            self._conclude(missing, stays=stay)
            if stay:
                self._tell("[dim]everything stays up until Ctrl-C[/]")
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            return not missing
        finally:
            await self._end()

    def _start_worker(self) -> None:
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            "STREAMS_PREFIX": self._prefix,
            "STREAMS_DATA_DIR": str(self._folder / "worker"),
            "STREAMS_HANDLERS": "agents",
            "STREAMS_WEB_PORT": str(self._web_port),
            "SMTP_HOST": self._sink.host,
            "SMTP_PORT": str(self._sink.port),
        }
        with self._log_file.open("ab") as output:
            self._worker = start_worker(settings, output=output)

    def _start_page(self) -> None:
        """The console, to look at what happens; it is no part of what must be seen."""
        if not may_start():
            return
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            "STREAMS_PREFIX": self._prefix,
            "STREAMS_DATA_DIR": str(self._folder),
            "STREAMS_HANDLERS": "agents",
        }
        with (self._folder / "console.log").open("ab") as output:
            self._page = start_console(settings, self._page_port, output=output)
        self._tell(f"the console is at http://127.0.0.1:{self._page_port}")

    @property
    def _log_file(self) -> Path:
        return self._folder / "worker.log"

    async def _wait_for_topics(self) -> dict[str, int]:
        """Until the worker has made the topics; those that are evidence, with their partitions."""
        settings = Settings(bootstrap_servers=self._bootstrap)
        registry = Registry.build(load_handlers(["agents"]), settings.queues)
        wanted = specs(self._names, registry.queues(), registry.event_types(), settings.partitions)
        names = self._names
        evidence = [f("critical") for f in (names.queue, names.retry, names.ledger)] + [names.dead]
        with self._console.status("starting the worker"):
            until = time.monotonic() + self._timeout_s
            while time.monotonic() < until:
                self._check_worker()
                found = await partition_counts(self._bootstrap)
                if {spec.name for spec in wanted} <= found.keys():
                    self._tell("the worker is up and has made its topics")
                    return {topic: found[topic] for topic in evidence}
                await asyncio.sleep(0.2)
        raise StreamsError(f"the worker made no topics within {self._timeout_s:.0f} s")

    def _check_worker(self) -> None:
        if self._worker is not None and not self._killed and self._worker.poll() is not None:
            last = self._log_file.read_text(errors="replace").splitlines()[-15:]
            raise StreamsError(
                f"the worker ended with exit code {self._worker.returncode}; it said last:\n"
                + "\n".join(last)
            )

    async def _end(self) -> None:
        if self._replaying is not None:
            self._replaying.cancel()
            await asyncio.gather(self._replaying, return_exceptions=True)
        if self._page is not None:
            end(self._page, grace=5.0)
        if self._worker is not None:
            # Nothing of it is wanted any more, so it needs no time to drain.
            end(self._worker, grace=5.0)
        await self._sink.stop()
        if self._prefix:
            await self._delete_topics()

    async def _delete_topics(self) -> None:
        """Leave nothing on a broker that is not ours."""
        with suppress(StreamsError):
            async with open_admin(self._bootstrap) as admin:
                found = await admin.describe_topics()
                ours = [t["topic"] for t in found if t["topic"].startswith(self._prefix)]
                if ours:
                    await admin.delete_topics(ours)

    # -- the story -----------------------------------------------------------------------------

    async def _sign_up(self) -> None:
        from schemas.users import UserSignedUp

        if self._broken == "smtp":
            await self._sink.stop()
            self._tell("[yellow]broken on purpose: the mail server is stopped[/]")
        async with JobClient(self._bootstrap, source=_SOURCE, prefix=self._prefix) as jobs:
            for person in self._evidence.people:
                if person.part is Part.LATE:
                    self._sink.answer_once(person.address, 451)
                elif person.part is Part.LOST:
                    self._sink.refuse(person.address, 550)
                event = UserSignedUp(user_id=person.user_id, email=person.address)
                await jobs.emit(event, id=person.event_id)
                self._tell(f"event [bold]{_EVENT}[/] for {_who(person)}")

    async def _watch(self, reader: TopicReader) -> list[str]:
        """Tell what the topics say until the story is complete; what is missing from it."""
        until = time.monotonic() + self._timeout_s
        complete: float | None = None
        while (now := time.monotonic()) < until:
            self._check_worker()
            for record in await reader.more():
                if (said := self._evidence.take(record)) is not None:
                    self._tell_news(*said)
                    self._act(*said)
            if self._replaying is not None and self._replaying.done():
                self._replaying.result()
            if self._missing():
                complete = None
            elif complete is None:
                complete = now
            elif now - complete > _QUIET_S:
                return []
        return self._missing()

    def _missing(self) -> list[str]:
        arrived = {address: len(found) for address, found in self._sink.messages.items()}
        return self._evidence.missing(arrived)

    def _act(self, person: Person, news: News) -> None:
        retrying = isinstance(news, OpenEntry) and news.state is State.RETRYING
        if self._broken == "timer" and retrying and self._worker is not None:
            self._killed = True
            self._worker.kill()
            self._tell("[yellow]broken on purpose: the worker is killed before it is due[/]")
        given_up = isinstance(news, Letter) and not news.resolved and person.part is Part.LOST
        if given_up and self._replaying is None:
            self._replaying = asyncio.create_task(self._mend_and_replay(person))

    async def _mend_and_replay(self, person: Person) -> None:
        while self._broken == "timer" and not self._killed:
            await asyncio.sleep(0.05)
        self._sink.mend(person.address)
        self._tell(f"the mailbox of {_who(person)} is mended")
        if self._broken == "replay":
            self._tell("[yellow]broken on purpose: its letter is not replayed[/]")
            return
        self._tell("replaying its letter, as `streams dlq replay` does")
        ours = LetterFilter(letter=person.job_id)
        async with open_dead_topic(self._bootstrap, self._names.dead) as dead:
            await resolve(
                self._bootstrap,
                self._names,
                dead.letters(ours.fits),
                Replaying(self._names),
                timeout_ms=int(self._timeout_s * 1000),
            )

    # -- telling it ----------------------------------------------------------------------------

    def _tell(self, text: str) -> None:
        passed = time.monotonic() - self._began
        self._console.print(f"[dim]{passed:7.2f} s[/]  {text}", highlight=False, soft_wrap=True)

    def _tell_answer(self, address: str, code: int) -> None:
        person = next((p for p in self._evidence.people if p.address == address), None)
        if person is not None:
            colour = "green" if code < 400 else "yellow" if code < 500 else "red"
            self._tell(f"mail server: [{colour}]{code}[/] for {_who(person)}")

    def _tell_news(self, person: Person, news: News) -> None:
        who = _who(person)
        match news:
            case Queued():
                self._tell(f"job [bold]{_JOB}[/] started in queue critical for {who}")
            case OpenEntry(state=State.RETRYING, due=due, attempts=attempts):
                wait = max(0, (due or 0) - int(time.time() * 1000))
                self._tell(f"[yellow]retrying[/] in {wait} ms, after attempt {attempts}, for {who}")
            case OpenEntry(state=State.DEAD, letter_pending=False):
                pass  # only notes that its letter is written
            case OpenEntry(state=state):
                shown = "[red]dead[/]" if state is State.DEAD else str(state)
                self._tell(f"{shown} (generation {news.generation}) for {who}")
            case LedgerRecord():
                self._tell(
                    f"[green]{news.state}[/] (generation {news.generation}, attempts "
                    f"{news.attempts}) for {who}"
                )
            case Letter(resolved=False):
                self._tell(f"[red]dead letter[/] for {who}")
            case Letter():
                self._tell(f"[green]letter resolved[/] for {who}")

    def _conclude(self, missing: list[str], *, stays: bool) -> None:
        web = f"http://127.0.0.1:{self._web_port}"
        self._console.print()
        if missing:
            self._console.print("[bold red]Not everything was seen:[/]")
            for what in missing:
                self._console.print(f"  {escape(what)}", highlight=False, soft_wrap=True)
        else:
            self._console.print(
                "[bold green]All of it was seen:[/] three jobs completed, one after a retry, one "
                "replayed from the dead letters; each e-mail arrived once.",
                soft_wrap=True,
            )
        page = "" if self._page is None else f"http://127.0.0.1:{self._page_port}"
        there = (
            *((("console", page),) if page else ()),
            ("metrics", f"{web}/metrics"),
            ("health", f"{web}/health"),
            ("broker", self._bootstrap),
        )
        for what, where in (*(there if stays else ()), ("worker's log", str(self._log_file))):
            self._console.print(f"  {what:13}{where}", highlight=False, soft_wrap=True)


def _who(person: Person) -> str:
    return f"[cyan]{person.address}[/]"


def _people() -> list[Person]:
    people = []
    for part in Part:
        event_id = new_id()
        user_id = random.randrange(1, 10**9)
        people.append(
            Person(
                part=part,
                user_id=user_id,
                address=f"{part}-{user_id}@example.org",
                event_id=event_id,
                job_id=fan_out_id(_JOB, _SOURCE, event_id),
            )
        )
    return people


def play(*, stay: bool, broken: Break | None, timeout_s: float) -> int:
    """Run the demo on a broker of its own, or on that of KAFKA_BOOTSTRAP_SERVERS; exit code."""
    console = Console()
    # Topics that are a moment old have no leader yet, about which aiokafka would complain.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path.cwd() / ".streams" / f"demo-{secrets.token_hex(4)}"
    with ExitStack() as cleaning:
        cleaning.callback(_remove, folder)
        folder.mkdir(parents=True)
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
        prefix = f"{folder.name}." if bootstrap else ""
        if not bootstrap:
            broker = LocalBroker(folder / "broker")
            cleaning.callback(broker.stop)
            with console.status("starting Apache Kafka"):
                bootstrap = broker.start()
        demo = Demo(console, bootstrap, folder, prefix=prefix, broken=broken, timeout_s=timeout_s)
        seen = asyncio.run(_until_told(demo, stay=stay))
        # From here on a second Ctrl-C would only leave something behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return 0 if seen else 1


async def _until_told(demo: Demo, *, stay: bool) -> bool:
    task = asyncio.ensure_future(demo.run(stay=stay))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, task.cancel)
    return await task


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def main() -> None:
    """`python -m streams.dev.demo`."""
    parser = argparse.ArgumentParser(prog="streams.dev.demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end with 0 if all was seen, else 1")
    parser.add_argument(
        "--break", dest="broken", choices=("smtp", "timer", "replay"), help="show that it can fail"
    )
    parser.add_argument("--timeout", type=float, default=90.0, help="seconds (90)")
    arguments = parser.parse_args()
    try:
        code = play(stay=not arguments.exit, broken=arguments.broken, timeout_s=arguments.timeout)
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 130
    except StreamsError as error:
        print(f"demo: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()

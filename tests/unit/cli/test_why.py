"""Why a job is not done yet: one answer for each place where it can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from streams.cli import exits, main
from streams.cli.output import show_time
from streams.cli.why import Witness
from streams.client_handle import status_of
from streams.client_story import Story
from streams.jobs.batches import Tally
from streams.jobs.identity import JobKey
from streams.jobs.notes import Notes
from streams.jobs.outcome import Failure
from streams.jobs.single import Kind
from streams.jobs.states import OVER, State
from streams.story.explain import Evidence, Run, explain
from streams.story.finding import Found
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.single import Single
from streams.wire.state import AttemptRecord, LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames
from streams.worker.control import Pause
from streams.worker.tables import COMMITTED

NOW = 1_700_000_000_000
LATER = NOW + 60_000
NAMES = TopicNames("t.")
JOB = JobKey(name="mail", ordering_key="mail:7", id="two")
FIRST = JobKey(name="mail", ordering_key="mail:7", id="one")
SENT = Envelope(id="two", name="mail", source="t", time=NOW, payload=b"{}", key="mail:7")
DOWN = Failure(type="ConnectionError", message="the server is away", trace="")


def entry(job: JobKey, state: State, **changes: Any) -> OpenEntry:
    made = OpenEntry(
        job=job,
        state=state,
        time=NOW,
        generation=0,
        run=1,
        attempts=1,
        arrival=5,
        due=None,
        blocks=True,
        record_key=b"mail:7",
        headers=(),
        payload=b"{}",
    )
    return replace(made, **changes)


def ledger(job: JobKey, **changes: Any) -> LedgerRecord:
    made = LedgerRecord(
        job=job, state=State.COMPLETED, time=NOW, generation=0, run=1, attempts=2, ended=NOW + 5
    )
    return replace(made, **changes)


def evidence(of: OpenEntry | LedgerRecord | None = None, **changes: Any) -> Evidence:
    story = Story(
        entry=of if isinstance(of, OpenEntry) else None,
        ledger=of if isinstance(of, LedgerRecord) else None,
    )
    found = Found(queue="bulk", job=JOB, partition=3, sent=SENT, story=story)
    return replace(Evidence(found=found, owner="w1", attempts=5), **changes)


RETRYING = entry(FIRST, State.RETRYING, arrival=1, due=LATER, failure=DOWN)


# -- the decision ------------------------------------------------------------------------------


def test_not_read_yet() -> None:
    answer = explain(evidence(offset=17, committed=5), NOW)
    assert (answer.kind, answer.before, answer.remedy) == ("unread", 12, "")
    assert "offset 17 of partition 3" in answer.text
    assert "12 offsets after what is settled" in answer.text
    answer = explain(evidence(offset=17, committed=17), NOW)
    assert (answer.kind, answer.before) == ("unread", 0)
    assert "being taken up" in answer.text


def test_not_read_yet_and_its_key_is_busy() -> None:
    answer = explain(evidence(offset=17, committed=5, blockers=(RETRYING,)), NOW)
    assert (answer.kind, answer.before, answer.blocker) == ("unread", 12, RETRYING)
    assert "then it waits for mail one of its key mail:7: retrying" in answer.text


def test_in_hand_behind_one_that_runs() -> None:
    run = Run(job=FIRST, worker="w1", since=NOW - 5, attempt=1)
    answer = explain(evidence(offset=17, committed=16, runs=(run,)), NOW)
    assert answer.kind == "behind"
    assert f"mail one of its key mail:7: it runs on w1 since {show_time(NOW - 5)}" in answer.text


@pytest.mark.parametrize("offset", [None, 4])
def test_what_is_below_the_commit_without_any_state_is_over(offset: int | None) -> None:
    assert explain(evidence(offset=offset, committed=5), NOW).kind == "over"


def test_parked_behind_a_retry() -> None:
    parked = entry(JOB, State.PARKED)
    answer = explain(evidence(parked, blockers=(RETRYING,)), NOW)
    assert (answer.kind, answer.blocker, answer.before) == ("behind", RETRYING, 1)
    for part in (
        "mail one",
        "retrying",
        "1 attempt used",
        show_time(LATER),
        "ConnectionError: the server is away",
    ):
        assert part in answer.text


def test_parked_behind_one_that_runs_long() -> None:
    running = entry(FIRST, State.RUNNING, arrival=1, due=NOW - 5)
    run = Run(job=FIRST, worker="w2", since=NOW - 20_000, attempt=1)
    answer = explain(evidence(entry(JOB, State.PARKED), blockers=(running,), runs=(run,)), NOW)
    assert (answer.kind, answer.blocker) == ("behind", running)
    assert f"running on w2 since {show_time(NOW - 20_000)}" in answer.text


def test_only_what_is_before_it_holds_it_up() -> None:
    third = entry(replace(FIRST, id="three"), State.PARKED, arrival=9)
    parked = entry(JOB, State.PARKED, arrival=5)
    answer = explain(evidence(parked, blockers=(third,)), NOW)
    assert (answer.kind, answer.blocker) == ("due", None)
    assert "the first of its key" in answer.text
    answer = explain(evidence(parked, blockers=(RETRYING, replace(third, arrival=4))), NOW)
    assert (answer.before, answer.blocker) == (2, RETRYING)
    assert "2 open jobs of its key are before it" in answer.text


def test_halted_behind_a_dead_job() -> None:
    dead = entry(FIRST, State.DEAD, arrival=1, failure=DOWN)
    answer = explain(evidence(entry(JOB, State.PARKED), blockers=(dead,)), NOW)
    assert (answer.kind, answer.blocker) == ("halted", dead)
    assert "is halted behind mail one, which is dead: ConnectionError" in answer.text
    assert answer.remedy == "streams dlq replay one --job mail --queue bulk"


def test_delayed() -> None:
    answer = explain(evidence(entry(JOB, State.SCHEDULED, due=LATER, blocks=False)), NOW)
    assert (answer.kind, show_time(LATER) in answer.text) == ("delayed", True)


def test_debounced() -> None:
    single = Single(scope="s", kind=Kind.DEBOUNCE, arrival=5, until=LATER)
    waits = entry(JOB, State.SCHEDULED, due=LATER, run=0, attempts=0, blocks=False, single=single)
    answer = explain(evidence(waits), NOW)
    assert (answer.kind, show_time(LATER) in answer.text) == ("debounced", True)
    retried = entry(JOB, State.RETRYING, due=LATER, single=single)
    assert explain(evidence(retried), NOW).kind == "retrying"


@pytest.mark.parametrize(("attempts", "text"), [(5, "attempt 2 of 5 is"), (None, "attempt 2 is")])
def test_retrying(attempts: int | None, text: str) -> None:
    retrying = entry(JOB, State.RETRYING, due=LATER, failure=DOWN)
    answer = explain(evidence(retrying, attempts=attempts), NOW)
    assert answer.kind == "retrying"
    assert text in answer.text
    assert show_time(LATER) in answer.text
    assert "ConnectionError: the server is away" in answer.text


@pytest.mark.parametrize("blocks", [False, True])
def test_sleeping(blocks: bool) -> None:
    answer = explain(evidence(entry(JOB, State.SLEEPING, due=LATER, blocks=blocks)), NOW)
    assert (answer.kind, show_time(LATER) in answer.text) == ("sleeping", True)
    assert ("its key with it" in answer.text) == blocks


@pytest.mark.parametrize("state", [State.RETRYING, State.SCHEDULED, State.SLEEPING])
def test_due_and_not_started(state: State) -> None:
    answer = explain(evidence(entry(JOB, state, due=NOW)), NOW)
    assert (answer.kind, show_time(NOW) in answer.text) == ("due", True)


def test_running() -> None:
    run = Run(job=JOB, worker="w1", since=NOW - 5, attempt=2)
    answer = explain(evidence(offset=3, committed=1, runs=(run,)), NOW)
    assert answer.kind == "running"
    assert answer.text == f"attempt 2 of 5 runs on w1 since {show_time(NOW - 5)}"
    # what a worker said a moment ago is not newer than its next run
    retrying = entry(JOB, State.RETRYING, due=LATER, failure=DOWN)
    assert explain(evidence(retrying, runs=(run,)), NOW).kind == "retrying"


def test_running_long_without_a_word_of_its_worker() -> None:
    answer = explain(evidence(entry(JOB, State.RUNNING, due=NOW - 5, attempts=0)), NOW)
    assert answer.kind == "running"
    assert "attempt 1 of 5" in answer.text
    assert show_time(NOW - 5) in answer.text


def test_what_ran_when_its_worker_ended() -> None:
    running = entry(JOB, State.RUNNING, due=NOW - 5)
    answer = explain(evidence(running, owner=None), NOW)
    assert answer.kind == "handed-back"
    assert answer.text == "it ran when its worker ended; the next one starts it anew"
    assert "start one" in answer.remedy
    kept = replace(running, notes=Notes(checkpoint="7"))
    answer = explain(evidence(kept, owner=None), NOW)
    assert answer.text == "it ran when its worker ended; the next one starts it from its checkpoint"


def test_what_may_have_run_when_its_worker_ended_is_not_said_to_run() -> None:
    supposed = entry(JOB, State.RUNNING, due=NOW, starts=1, is_supposed=True)
    behind = (entry(FIRST, State.PARKED, arrival=9),)
    waits = evidence(supposed, blockers=behind)
    answer = explain(waits, NOW)
    assert (answer.kind, answer.text) == (
        "due",
        "it may have run when its worker ended, and waits for a slot",
    )
    assert explain(replace(waits, limit="2 run"), NOW).text == "it waits for a limit: 2 run"
    alone = explain(replace(waits, owner=None), NOW)
    assert alone.kind == "handed-back"
    assert alone.text == "it may have run when its worker ended; the next one starts it"
    run = Run(job=JOB, worker="w1", since=NOW, attempt=2)
    assert explain(replace(waits, runs=(run,)), NOW).kind == "running"
    assert status_of(waits.found.story).state is State.QUEUED


def test_a_callback_that_waits_for_its_children() -> None:
    tally = Tally(size=3).with_reports([(0, State.COMPLETED), (2, State.DEAD)])
    waits = replace(entry(JOB, State.SLEEPING, blocks=False), due=None, tally=tally)
    answer = explain(evidence(waits), NOW)
    assert answer.kind == "batch"
    assert answer.text == (
        "it waits until all of its 3 jobs are over: 2 are, 1 of them not completed"
    )


def test_dead() -> None:
    attempt = AttemptRecord(attempt=3, started=NOW - 9, ended=NOW - 7, worker="w", outcome="dead")
    dead = entry(JOB, State.DEAD, failure=DOWN, history=(attempt,), blocks=False)
    answer = explain(evidence(dead, owner=None), NOW)
    assert answer.kind == "dead"
    assert show_time(NOW - 7) in answer.text
    assert "ConnectionError: the server is away" in answer.text
    assert "halted" not in answer.text
    assert answer.remedy == "streams dlq replay two --job mail --queue bulk"
    assert "halted" in explain(evidence(replace(dead, blocks=True)), NOW).text
    pending = explain(evidence(replace(dead, letter_pending=True)), NOW)
    assert "on its way" in pending.text


def test_no_worker_has_its_handler() -> None:
    held = entry(JOB, State.PARKED, due=LATER, unknown_since=NOW - 5)
    answer = explain(evidence(held, blockers=(RETRYING,)), NOW)
    assert answer.kind == "no-handler"
    assert "'mail'" in answer.text
    assert answer.remedy == "deploy a worker that has one"


@pytest.mark.parametrize("state", sorted(OVER))
def test_over(state: State) -> None:
    answer = explain(evidence(ledger(JOB, state=state, reason="as asked"), owner=None), NOW)
    assert (answer.kind, answer.remedy) == ("over", "")
    assert answer.text == f"it is {state} since {show_time(NOW + 5)}: as asked"


@pytest.mark.parametrize(
    "of",
    [
        None,
        entry(JOB, State.PARKED),
        entry(JOB, State.RETRYING, due=LATER),
        entry(JOB, State.SCHEDULED, due=LATER),
    ],
)
def test_without_a_worker_it_says_so(of: OpenEntry | None) -> None:
    answer = explain(evidence(of, offset=9, owner=None), NOW)
    assert answer.remedy == "no worker has its partition: start one"


def test_no_broker_is_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        main(("jobs", "why", "x"))
    assert ended.value.code == exits.NO_BROKER
    assert "127.0.0.1:1" in capsys.readouterr().err


# -- what it is decided from -------------------------------------------------------------------


def seen(*records: Record) -> Evidence:
    found = Found(queue="bulk", job=JOB, partition=3, sent=SENT)
    witness = Witness(found, NAMES)
    for record in records:
        witness.take(record)
    return witness.evidence(found, NOW, None)


def record(topic: str, key: bytes, value: bytes | None, partition: int = 3, at: int = 0) -> Record:
    return Record(topic, partition, at, NOW, key, value)


def queued(envelope: Envelope, offset: int) -> Record:
    key, value, headers = encode(envelope)
    return Record(NAMES.queue("bulk"), 3, offset, NOW, key, value, tuple(headers))


RETRY, LEDGER = NAMES.retry("bulk"), NAMES.ledger("bulk")


def test_where_the_job_and_the_commit_are() -> None:
    found = seen(
        queued(replace(SENT, id="other"), 15),
        queued(SENT, 16),
        queued(replace(SENT, name="other"), 17),
        record(RETRY, COMMITTED, b"9"),
        record(RETRY, COMMITTED, b"12", partition=2),
    )
    assert (found.offset, found.committed) == (16, 9)


def test_who_blocks_its_key() -> None:
    others = [entry(replace(FIRST, id=id), State.PARKED, arrival=n) for n, id in enumerate("abcd")]
    found = seen(
        *(record(RETRY, *encode_open(each)) for each in others),
        record(RETRY, *encode_open(RETRYING)),
        record(RETRY, *encode_open(entry(JOB, State.PARKED))),
        # not of its key, not blocking, gone, over, of another partition, unreadable
        record(RETRY, *encode_open(entry(replace(FIRST, ordering_key="mail:8"), State.PARKED))),
        record(RETRY, *encode_open(replace(others[1], blocks=False))),
        record(RETRY, others[2].job.encode(), None),
        record(LEDGER, *encode_ledger(ledger(others[3].job))),
        record(RETRY, *encode_open(entry(replace(FIRST, id="e"), State.PARKED)), partition=2),
        record(RETRY, b"junk", b"junk"),
    )
    assert found.blockers == (RETRYING, others[0])


def presence(worker: str, at: int = NOW, **said: Any) -> Record:
    return Record(NAMES.workers, 0, 0, at, worker.encode(), orjson.dumps(said))


def test_what_workers_say() -> None:
    running = [
        {"name": "mail", "id": "one", "key": "mail:7", "attempt": 1, "since": NOW - 9},
        {"name": "mail", "id": "x", "key": "mail:8", "attempt": 1, "since": NOW - 9},
    ]
    found = seen(
        presence("w1", partitions={"bulk": [1]}, running=running),
        presence("w2", partitions={"bulk": [3], "default": [1]}, running=[]),
        presence("w3", at=NOW - 60_000, partitions={"bulk": [3]}, running=running),
        Record(NAMES.workers, 0, 0, NOW, b"w4", b"junk"),
    )
    assert found.owner == "w2"
    assert found.runs == (Run(job=FIRST, worker="w1", since=NOW - 9, attempt=1),)
    withdrawn = seen(
        presence("w1", partitions={"bulk": [3]}, running=running),
        Record(NAMES.workers, 0, 1, NOW, b"w1", None),
    )
    assert (withdrawn.owner, withdrawn.runs) == (None, ())


@pytest.mark.parametrize(("key", "is_ours"), [(None, True), ("mail:7", True), ("mail:8", False)])
def test_a_limit_for_which_jobs_wait_in_memory(key: str | None, is_ours: bool) -> None:
    said = {"name": "mail", "key": key, "reason": "mail starts twice an hour"}
    found = seen(
        presence("w1", partitions={"bulk": [3]}, limits=[{**said, "name": "other"}, said]),
        presence("w2", partitions={"bulk": [1]}, limits=[{**said, "reason": "not its worker's"}]),
    )
    assert found.limit == (said["reason"] if is_ours else "")
    answer = explain(replace(found, offset=4, committed=1), NOW)
    assert (answer.kind == "limited") is is_ours
    assert ("it waits for a limit: mail starts twice an hour" in answer.text) is is_ours
    assert answer.before == 3


@pytest.mark.parametrize(("key", "is_ours"), [(None, True), ("mail:7", True), ("mail:8", False)])
def test_a_call_that_waits_for_more_jobs(key: str | None, is_ours: bool) -> None:
    said = {"name": "mail", "key": key, "reason": "2 of 100 are there"}
    found = seen(presence("w1", partitions={"bulk": [3]}, calls=[said]))
    wanted = "it waits for others to run in one call with: 2 of 100 are there"
    answer = explain(replace(found, offset=4, committed=1), NOW)
    assert (answer.kind, answer.text == wanted) == ("gathering" if is_ours else "unread", is_ours)
    due = replace(found, found=evidence(entry(JOB, State.RETRYING, due=NOW)).found)
    assert (explain(due, NOW).text == wanted) is is_ours


def test_slots_that_are_all_in_use() -> None:
    found = seen(presence("w1", partitions={"bulk": [3]}, full=["loop", "thread"]))
    answer = explain(replace(found, offset=4, committed=1), NOW)
    assert answer.text.endswith("; all slots of w1 for coroutines and for threads are in use")


def test_a_paused_queue_is_the_reason_unless_a_worker_runs_the_job() -> None:
    pause = Pause(since=NOW - 60_000, reason="a migration")
    answer = explain(replace(evidence(offset=3, committed=1), pause=pause), NOW)
    assert answer.kind == "paused"
    assert show_time(NOW - 60_000) in answer.text and "a migration" in answer.text
    assert answer.remedy == "streams queues resume bulk"
    run = Run(job=JOB, worker="w1", since=NOW - 5, attempt=1)
    assert explain(replace(evidence(runs=(run,)), pause=pause), NOW).kind == "running"

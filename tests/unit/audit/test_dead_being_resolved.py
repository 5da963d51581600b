"""A crash between a letter's tombstone and the end of its job leaves what goes on by itself."""

from __future__ import annotations

import pytest
from written_topics import NAMES, NOW, RETRY, WrittenTopics, told

from streams.audit import fault as f
from streams.audit.checkpoint import Checkpoint
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.commands import Command, encode_command
from streams.wire.letters import letter_key
from streams.worker.ports import Append
from streams.worker.tables import COMMANDS_READ

HOUR = 60 * 60 * 1000


def _dead(topics: WrittenTopics, **said: int) -> JobKey:
    """A dead job; its letter was removed a long time ago."""
    job = topics.enqueue("a")
    topics.open(job, State.DEAD, **said)
    topics.commit(1)
    topics.log.write(Append(NAMES.dead, 0, letter_key(job, "q", 0), None))
    topics.clock.set(NOW + HOUR)
    return job


def _say(topics: WrittenTopics, job: JobKey, kind: str, generation: int = 0) -> None:
    command = Command(kind=kind, job=job, generation=generation, queue="r", name="job")
    topics.log.write(Append(NAMES.commands("q"), 0, *encode_command(command)))


@pytest.mark.parametrize("kind", ["discard", "move", "replay"])
def test_while_its_command_is_not_obeyed_it_waits_for_a_worker(kind: str):
    topics = WrittenTopics()
    _say(topics, JobKey(name="job", ordering_key=None, id="other"), kind)
    job = _dead(topics)
    assert told(topics.audit()) == [(f.NO_LETTER, "a")]
    _say(topics, job, kind)
    with Checkpoint(None, "") as checkpoint:
        for audited in (topics.audit(checkpoint), topics.audit(checkpoint), topics.audit()):
            assert audited.faults == []
            tally = audited.of_queue("q")
            assert (tally.dead, tally.resolving, tally.missing) == (1, 1, 0)
        # once it is behind that, also if it says so no more
        topics.log.write(Append(RETRY, 0, COMMANDS_READ, b"2"))
        for _ in range(2):
            assert told(topics.audit(checkpoint)) == [(f.NO_LETTER, "a")]


def test_commands_that_do_not_remove_this_letter_explain_nothing():
    topics = WrittenTopics()
    job = _dead(topics)
    _say(topics, job, "discard", generation=1)
    _say(topics, job, "cancel")
    topics.log.write(Append(NAMES.commands("q"), 0, b"nonsense", None))
    assert told(topics.audit()) == [(f.NO_LETTER, "a")]


def test_what_its_definition_wants_of_it_is_due_as_well():
    topics = WrittenTopics()
    _dead(topics, due=NOW + 1_000)
    with Checkpoint(None, "") as checkpoint:
        for _ in range(2):
            report = topics.audit(checkpoint)
            assert report.faults == []
            assert report.of_queue("q").resolving == 1
    later = WrittenTopics()
    _dead(later, due=NOW + 2 * HOUR)
    assert told(later.audit()) == [(f.NO_LETTER, "a")]
